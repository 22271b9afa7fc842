//! HTTP: CONNECT, and requests in absolute form (RFC 9110 section 9.3.6, RFC 9112 section 3.2.2).

use crate::counters::add;
use crate::userspace::access::{Host, Refused};
use crate::userspace::net::Net;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::body::Incoming;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Bytes of a request's head.
const MAX_HEAD: usize = 16 << 10;
/// How long a client may take for a head.
const HEAD_TIME: Duration = Duration::from_secs(10);
const HTTP_PORT: u16 = 80;

type Body = BoxBody<Bytes, hyper::Error>;

/// What goes on beside the answers of one client connection: tunnels, and connections to destinations.
type Tasks = Rc<RefCell<JoinSet<()>>>;

/// Serves one client connection to its end, and then what became of it.
pub async fn serve(net: &Net, client: TcpStream) -> Result<(), hyper::Error> {
    let tasks = Tasks::default();
    let service = hyper::service::service_fn(|request| {
        let (net, tasks) = (net.clone(), tasks.clone());
        async move {
            let answered = if request.method() == Method::CONNECT {
                tunnel(&net, &tasks, request).await
            } else {
                forward(&net, &tasks, request).await
            };
            Ok::<_, std::convert::Infallible>(answered.unwrap_or_else(|problem| problem.response(&net)))
        }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(MAX_HEAD)
        .preserve_header_case(true)
        .serve_connection(TokioIo::new(client), service)
        .with_upgrades()
        .await;
    let mut left = tasks.take();
    while left.join_next().await.is_some() {}
    served
}

/// Why a request is answered by the proxy itself.
enum Problem {
    Refused(Refused),
    Malformed(&'static str),
    /// The destination speaks no HTTP, or stopped in the middle.
    Gateway,
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl Problem {
    fn response(self, net: &Net) -> Response<Body> {
        let (status, text) = match self {
            Self::Refused(refused) => {
                net.counters().refused(refused);
                let status = match refused {
                    Refused::Policy | Refused::Stale | Refused::Outside | Refused::Own => StatusCode::FORBIDDEN,
                    Refused::Unknown | Refused::Family | Refused::Rejected => StatusCode::BAD_GATEWAY,
                    Refused::Busy => StatusCode::SERVICE_UNAVAILABLE,
                    Refused::Silent => StatusCode::GATEWAY_TIMEOUT,
                };
                (status, refused.to_string())
            }
            Self::Malformed(text) => {
                add(&net.counters().proxy_refused_malformed, 1);
                (StatusCode::BAD_REQUEST, text.to_owned())
            }
            Self::Gateway => (
                StatusCode::BAD_GATEWAY,
                "the destination did not answer in HTTP".to_owned(),
            ),
        };
        let mut response = Response::new(whole(format!("{text}\n")));
        *response.status_mut() = status;
        response
    }
}

fn whole(text: String) -> Body {
    Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed()
}

fn destination(uri: &Uri, default: Option<u16>) -> Result<(Host, u16), Problem> {
    let port = uri.port_u16().or(default).filter(|port| *port != 0);
    match (uri.host().filter(|host| !host.is_empty()), port) {
        (Some(host), Some(port)) => Ok((Host::parse(host), port)),
        _ => Err(Problem::Malformed("name a destination: host and port")),
    }
}

async fn tunnel(net: &Net, tasks: &Tasks, request: Request<Incoming>) -> Result<Response<Body>, Problem> {
    let (host, port) = destination(request.uri(), None)?;
    let mut stream = net.connect(&host, port).await?;
    add(&net.counters().proxy_connections, 1);
    tasks.borrow_mut().spawn_local(async move {
        // Whoever ends it, there is nobody left to tell.
        if let Ok(upgraded) = hyper::upgrade::on(request).await {
            let _ = super::carry(&mut TokioIo::new(upgraded), &mut stream).await;
        }
    });
    Ok(Response::new(whole(String::new())))
}

async fn forward(net: &Net, tasks: &Tasks, mut request: Request<Incoming>) -> Result<Response<Body>, Problem> {
    if request.uri().scheme_str() != Some("http") {
        return Err(Problem::Malformed(
            "this is a proxy: send CONNECT, or a request for a whole http:// URL",
        ));
    }
    let (host, port) = destination(request.uri(), Some(HTTP_PORT))?;
    let authority = request.uri().authority().map(|authority| authority.as_str().to_owned());
    let authority = authority.and_then(|text| HeaderValue::from_str(text.rsplit('@').next().unwrap_or_default()).ok());
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = path
        .parse()
        .map_err(|_| Problem::Malformed("the path of the URL is malformed"))?;
    strip(request.headers_mut());
    if let Some(authority) = authority {
        request.headers_mut().insert(header::HOST, authority);
    }
    let stream = net.connect(&host, port).await?;
    add(&net.counters().proxy_connections, 1);
    let handshake = hyper::client::conn::http1::Builder::new()
        .preserve_header_case(true)
        .handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(|_| Problem::Gateway)?;
    tasks.borrow_mut().spawn_local(async move {
        // An error here is one of the response or its body, which tell it.
        let _ = connection.await;
    });
    let mut response = sender.send_request(request).await.map_err(|_| Problem::Gateway)?;
    strip(response.headers_mut());
    Ok(response.map(BodyExt::boxed))
}

/// Removes what is said from hop to hop (RFC 9110 section 7.6.1).
fn strip(headers: &mut hyper::HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in [
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "upgrade",
    ] {
        headers.remove(name);
    }
}
