//! Whether a request says which host it is for (RFC 9112, section 3.2): an HTTP/1.1 request has exactly one `Host`.
//!
//! Why it is refused and not ignored: a proxy in front that reads the host from elsewhere would route by one name and be
//! answered for another.

use axum::http::{HeaderValue, Request, Version, header};

use super::problem::{Kind, Problem};

/// The problem of an HTTP/1.1 request without a `Host`, or with several. The connection closes after it.
pub(super) fn refuse<B>(request: &Request<B>) -> Option<Problem> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let is_told = match (hosts.next(), hosts.next()) {
        (Some(_), None) => true,
        (None, _) => request.version() != Version::HTTP_11,
        (Some(_), Some(_)) => false,
    };
    (!is_told).then(|| {
        Problem::new(Kind::MalformedRequest)
            .detail("an HTTP/1.1 request has exactly one Host header")
            .field("Host", "exactly one")
            .header(header::CONNECTION, HeaderValue::from_static("close"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_refused(version: Version, hosts: &[&str]) -> bool {
        let request = Request::builder().version(version);
        let request = hosts.iter().fold(request, |request, host| request.header(header::HOST, *host));
        refuse(&request.body(()).expect("a request")).is_some()
    }

    #[test]
    fn only_http_1_0_may_leave_the_host_out_and_nobody_may_name_two() {
        assert!(!is_refused(Version::HTTP_11, &["shop"]));
        assert!(!is_refused(Version::HTTP_10, &[]));
        assert!(is_refused(Version::HTTP_11, &[]));
        assert!(is_refused(Version::HTTP_11, &["shop", "other"]));
        assert!(is_refused(Version::HTTP_10, &["shop", "shop"]));
    }
}
