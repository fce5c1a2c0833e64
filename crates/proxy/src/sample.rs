//! The built-in sample site: what a Seawall without origin and without configuration serves, so that the first request
//! of a newcomer has an answer, which also tells what to do next.
//!
//! Its page shows what `/.seawall/trace` says of the very connection that it came by; that path is not answered here.

/// One file of the sample site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// For `Content-Type`.
    pub content_type: &'static str,
    /// The content, the same for all of the process's life.
    pub body: &'static [u8],
}

/// The file at a path (without query), if there is one.
pub fn answer(path: &[u8]) -> Option<Sample> {
    let (content_type, body): (_, &[u8]) = match path {
        b"/" | b"/index.html" => (
            "text/html; charset=utf-8",
            include_bytes!("../assets/sample/index.html"),
        ),
        b"/style.css" => (
            "text/css; charset=utf-8",
            include_bytes!("../assets/sample/style.css"),
        ),
        b"/wave.svg" => ("image/svg+xml", include_bytes!("../assets/sample/wave.svg")),
        b"/favicon.svg" => (
            "image/svg+xml",
            include_bytes!("../assets/sample/favicon.svg"),
        ),
        b"/robots.txt" => ("text/plain; charset=utf-8", b"User-agent: *\nDisallow: /\n"),
        _ => return None,
    };
    Some(Sample { content_type, body })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(path: &str) -> &'static str {
        std::str::from_utf8(answer(path.as_bytes()).unwrap().body).unwrap()
    }

    #[test]
    fn each_file_has_its_type_and_others_are_not_there() {
        for (path, kind) in [
            ("/", "text/html"),
            ("/index.html", "text/html"),
            ("/style.css", "text/css"),
            ("/wave.svg", "image/svg+xml"),
            ("/favicon.svg", "image/svg+xml"),
            ("/robots.txt", "text/plain"),
        ] {
            let sample = answer(path.as_bytes()).unwrap();
            assert!(sample.content_type.starts_with(kind), "{path}");
            assert!(
                (20..16 * 1_024).contains(&sample.body.len()),
                "{path}: {} bytes",
                sample.body.len()
            );
        }
        for path in [
            "",
            "/style.css/",
            "/../index.html",
            "/Style.css",
            "/.seawall/trace",
        ] {
            assert_eq!(answer(path.as_bytes()), None, "{path}");
        }
    }

    #[test]
    fn all_that_the_page_asks_for_is_here() {
        let page = text("/");
        let starts = ["href=\"/", "src=\"/", "fetch('/"]
            .into_iter()
            .flat_map(|mark| page.split(mark).skip(1));
        let asked: Vec<_> = starts
            .map(|rest| format!("/{}", rest.split(['"', '\'']).next().unwrap()))
            .collect();
        for path in ["/style.css", "/wave.svg", "/favicon.svg", "/.seawall/trace"] {
            assert!(
                asked.iter().any(|other| other == path),
                "{path} is not used: {asked:?}"
            );
        }
        for path in asked {
            assert!(
                path == "/.seawall/trace" || answer(path.as_bytes()).is_some(),
                "{path} is not here"
            );
        }
    }

    #[test]
    fn it_depends_on_nobody_else() {
        for path in ["/", "/style.css", "/wave.svg", "/favicon.svg"] {
            let own = text(path)
                .replace("http://www.w3.org/2000/svg", "")
                .replace("http://127.0.0.1:3000", "");
            for outside in ["http:", "https:", "//cdn", "@import"] {
                assert!(!own.contains(outside), "{path} holds {outside}");
            }
        }
    }

    #[test]
    fn it_tells_the_next_three_commands() {
        let page = text("/");
        for command in [
            "seawall up --origin http://127.0.0.1:3000",
            "seawall check seawall.toml",
        ] {
            assert!(page.contains(command), "{command}");
        }
        assert!(page.contains("schema") && page.contains("[[zone]]"));
    }
}
