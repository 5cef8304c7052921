# A web server for tests, with nothing but perl. GET /set/503 makes every later answer a 503; GET /hang stops answering. Paths asked for go to the file "asked".
use strict; use warnings; use IO::Socket::INET;
my ($status, $hang) = ($ENV{START_STATUS} || 200, 0);
my $server = IO::Socket::INET->new(LocalAddr => "0.0.0.0", LocalPort => $ENV{PORT0}, Listen => 64, ReuseAddr => 1) or die "listen: $@";
$SIG{PIPE} = "IGNORE"; $| = 1;
print "serving on $ENV{PORT0}\n";
while (1) {
    my $client = $server->accept or next;
    my ($request, $line) = ("", "");
    $request = <$client> // "";
    while (defined($line = <$client>) && $line =~ /\S/) {}
    my ($path) = $request =~ m{^\w+ (\S+)} or next;
    if (open my $asked, ">>", "asked") { print $asked "$path\n" }
    $status = $1 if $path =~ m{^/set/(\d+)};
    if ($path eq "/hang") { $hang = 1; print $client "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"; next }
    sleep 3600 if $hang;
    my $body = $path eq "/env" ? join("", map { "$_=$ENV{$_}\n" } sort keys %ENV) : ($ENV{BODY} || "hello") . "\n";
    print $client "HTTP/1.1 $status OK\r\nContent-Length: " . length($body) . "\r\nConnection: close\r\n\r\n$body";
}
