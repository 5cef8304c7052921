//! A small web server for what clusters fetch: repositories and artifacts.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

/// What a path answers.
#[derive(Debug, Clone)]
pub enum Page {
    /// 200 with a body.
    Body(Vec<u8>),
    /// 200 with a body that never ends; sent until the client hangs up.
    Endless,
    /// Another status, with the status as its body.
    Status(u16),
    /// The connection is closed before an answer.
    HangUp,
}

/// A server on a free loopback port. Paths answer 404 until they are set. Lives as long as the test.
#[derive(Debug, Clone)]
pub struct WebServer {
    address: SocketAddr,
    pages: Arc<Mutex<BTreeMap<String, Page>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl WebServer {
    /// Starts to serve.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let server = Self { address, pages: Arc::default(), asked: Arc::default() };
        let shared = server.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = shared.clone();
                // A client that hangs up is its own affair.
                std::thread::spawn(move || drop(shared.answer(&stream)));
            }
        });
        server
    }

    /// Sets what a path answers; returns its URL.
    pub fn set(&self, path: &str, page: Page) -> String {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), page);
        format!("http://{}{path}", self.address)
    }

    /// Paths asked for so far, in order.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn answer(&self, mut stream: &TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream.take(65_536));
        let mut request = String::new();
        reader.read_line(&mut request)?;
        let mut line = String::from(".");
        while !line.trim().is_empty() {
            line.clear();
            reader.read_line(&mut line)?;
        }
        let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
        let page = self.pages.lock().unwrap_or_else(PoisonError::into_inner).get(&path).cloned();
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(path);
        let head =
            |status: u16, length: usize| format!("HTTP/1.1 {status} .\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
        match page.unwrap_or(Page::Status(404)) {
            Page::Body(body) => {
                stream.write_all(head(200, body.len()).as_bytes())?;
                stream.write_all(&body)
            }
            Page::Status(status) => stream.write_all(format!("{}{status}", head(status, 3)).as_bytes()),
            Page::HangUp => Ok(()),
            Page::Endless => {
                stream.write_all(b"HTTP/1.1 200 .\r\nconnection: close\r\n\r\n")?;
                let block = vec![b'['; 1 << 20];
                loop {
                    stream.write_all(&block)?;
                }
            }
        }
    }
}
