"""What Python needs to load, search and render a repository document. Prints JSON, times in ms."""
import base64
import json
import sys
import time

try:
    import pystache
except ImportError:
    pystache = None


def quantiles(times):
    times = sorted(times)
    return {"p50": times[len(times) // 2], "p99": times[min(len(times) - 1, int(len(times) * 0.99))], "count": len(times)}


def timed(function, *arguments):
    start = time.perf_counter()
    result = function(*arguments)
    return (time.perf_counter() - start) * 1e3, result


def best(function, *arguments):
    return min(timed(function, *arguments)[0] for _ in range(3))


def load(path):
    with open(path, "rb") as file:
        packages = json.loads(file.read())["packages"]
    latest = {}
    for package in packages:
        known = latest.get(package["name"])
        if known is None or known["releaseVersion"] < package["releaseVersion"]:
            latest[package["name"]] = package
    return packages, latest


def search(latest, query):
    return [p["name"] for p in latest.values() if query in p["name"].lower() or query in p["description"].lower()
            or any(query in tag.lower() for tag in p.get("tags", []))]


def load_and_search(path):
    packages, latest = load(path)
    search(latest, "a")
    return packages, latest


def defaults(schema):
    found = {}
    for name, inner in (schema or {}).get("properties", {}).items():
        if "default" in inner:
            found[name] = inner["default"]
        elif "properties" in inner:
            found[name] = defaults(inner)
    return found


def main():
    path = sys.argv[1]
    loads = []
    for _ in range(5):
        taken, (packages, latest) = timed(load_and_search, path)
        loads.append(taken)
    queries = ["ka", "sql", "data", "web", "e", "redis", "no such thing", "zz"]
    searches = [best(search, latest, query) for query in queries * 25]
    describes = [best(json.dumps, package) for package in packages]
    renders = []
    if pystache is not None:
        renderer = pystache.Renderer(escape=lambda text: text)
        for package in packages:
            try:
                text = base64.b64decode(package["marathon"]["v2AppMustacheTemplate"]).decode()
                parsed = pystache.parse(text)
                context = dict(defaults(package.get("config")), resource=package.get("resource", {}))
                json.loads(renderer.render(parsed, context))
            except Exception:  # Python cannot render this one: it is not counted.
                continue
            renders.append(best(lambda: json.loads(renderer.render(parsed, context))))
    print(json.dumps({
        "python": sys.version.split()[0],
        "load": sorted(loads)[len(loads) // 2],
        "search": quantiles(searches),
        "describe": quantiles(describes),
        "render": quantiles(renders) if renders else None,
    }))


main()
