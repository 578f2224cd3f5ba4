//! A service that passes everything on to a broker, but for its fault.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Method, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::support::*;

/// A request on its way to the broker behind a faulty service.
pub struct Passing {
    pub method: Method,
    pub content_type: String,
    pub body: Vec<u8>,
}

impl Passing {
    pub fn has(&self, text: &str) -> bool {
        String::from_utf8_lossy(&self.body).contains(text)
    }
}

/// An answer on its way back.
pub struct Coming {
    pub status: u16,
    pub content_type: String,
    pub headers: Vec<(&'static str, &'static str)>,
    pub body: Vec<u8>,
}

impl Coming {
    /// Replaces a text; bytes of documents here are text too.
    pub fn replace(&mut self, from: &str, to: &str) {
        self.body = String::from_utf8_lossy(&self.body).replace(from, to).into_bytes();
    }

    pub fn has(&self, text: &str) -> bool {
        String::from_utf8_lossy(&self.body).contains(text)
    }

    /// Replaces what stands between two texts, wherever they are.
    pub fn replace_between(&mut self, from: &str, to: &str, with: &str) {
        let text = String::from_utf8_lossy(&self.body).into_owned();
        let mut out = String::new();
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once(from) {
            let Some((_, tail)) = after.split_once(to) else { break };
            out.push_str(before);
            out.push_str(with);
            rest = tail;
        }
        out.push_str(rest);
        self.body = out.into_bytes();
    }
}

/// How a service is faulty.
#[derive(Clone, Copy)]
pub struct Fault {
    pub request: fn(&mut Passing),
    pub answer: fn(&Passing, &mut Coming),
    /// It asks for no client certificate.
    pub anonymous: bool,
    /// It takes TLS 1.1.
    pub old_tls: bool,
}

pub const NONE: Fault = Fault { request: |_| (), answer: |_, _| (), anonymous: false, old_tls: false };

pub fn request(request: fn(&mut Passing)) -> Fault {
    Fault { request, ..NONE }
}

pub fn answer(answer: fn(&Passing, &mut Coming)) -> Fault {
    Fault { answer, ..NONE }
}

/// A service that passes everything on to a broker, but for its fault; and what it was sent.
pub async fn faulty(broker: &TestBroker, fault: Fault) -> (String, Arc<Mutex<Vec<Passing>>>) {
    let files = CERTIFICATES.files("server");
    let tls = if fault.anonymous {
        let chain = CertificateDer::pem_file_iter(&files.certificate).unwrap().map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_file(&files.key).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).unwrap())
    } else {
        causeway::transport::tls::ReloadableServer::new(files).expect("server settings").config()
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base = format!("https://127.0.0.1:{}", listener.local_addr().unwrap().port());
    let (seen, behind) = (Arc::new(Mutex::new(Vec::new())), broker.url(""));
    let kept = Arc::clone(&seen);
    tokio::spawn(async move {
        let (client, under_way) = (client("client"), Arc::new(AtomicUsize::new(0)));
        while let Ok((stream, _)) = listener.accept().await {
            let (tls, client, behind) = (Arc::clone(&tls), client.clone(), behind.clone());
            let (seen, under_way) = (Arc::clone(&kept), Arc::clone(&under_way));
            tokio::spawn(async move {
                let Some(stream) = not_old(stream, fault.old_tls).await else { return };
                let Ok(stream) = TlsAcceptor::from(tls).accept(stream).await else { return };
                let service = hyper::service::service_fn(move |incoming| {
                    let (client, behind, seen, under_way) =
                        (client.clone(), behind.clone(), Arc::clone(&seen), Arc::clone(&under_way));
                    async move {
                        assert_eq!(under_way.fetch_add(1, Ordering::SeqCst), 0, "one at a time");
                        let answer = pass(incoming, fault, &client, &behind, &seen).await;
                        under_way.fetch_sub(1, Ordering::SeqCst);
                        Ok::<_, hyper::Error>(answer)
                    }
                });
                let _ =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    (base, seen)
}

/// Answers a hello of TLS 1.1 as a server would that takes it.
async fn not_old(mut stream: TcpStream, takes_old: bool) -> Option<TcpStream> {
    let mut start = [0; 11];
    while stream.peek(&mut start).await.ok()? < start.len() {
        tokio::task::yield_now().await;
    }
    if takes_old && start[9..11] == [3, 2] {
        let mut rest = vec![0; 4096];
        let _ = stream.read(&mut rest).await;
        stream.write_all(&[22, 3, 2, 0, 80, 2, 0, 0, 76, 3, 2, 0, 0]).await.ok()?;
        return None;
    }
    Some(stream)
}

async fn pass(
    incoming: http::Request<hyper::body::Incoming>,
    fault: Fault,
    client: &HttpClient,
    behind: &str,
    seen: &Mutex<Vec<Passing>>,
) -> Response<Full<Bytes>> {
    let (head, body) = incoming.into_parts();
    let content_type = head.headers.get(header::CONTENT_TYPE).map(|v| v.to_str().unwrap().to_owned());
    let mut passing = Passing {
        method: head.method,
        content_type: content_type.unwrap_or_default(),
        body: body.collect().await.expect("a whole request").to_bytes().to_vec(),
    };
    (fault.request)(&mut passing);
    let path = head.uri.path_and_query().expect("a path").as_str().trim_start_matches("/services/");
    let request = http::Request::builder()
        .method(passing.method.clone())
        .uri(format!("{behind}{path}"))
        .header(header::CONTENT_TYPE, &passing.content_type)
        .body(Full::new(Bytes::from(passing.body.clone())))
        .expect("a request");
    let answer = client.request(request).await.expect("an answer");
    let status = answer.status().as_u16();
    let content_type = answer.headers().get(header::CONTENT_TYPE).map(|v| v.to_str().unwrap().to_owned());
    let body = answer.into_body().collect().await.expect("a whole answer").to_bytes().to_vec();
    let mut coming = Coming { status, content_type: content_type.unwrap_or_default(), headers: Vec::new(), body };
    (fault.answer)(&passing, &mut coming);
    seen.lock().unwrap().push(passing);
    let mut response = Response::builder()
        .status(StatusCode::from_u16(coming.status).unwrap())
        .header(header::CONTENT_TYPE, coming.content_type);
    for (name, value) in coming.headers {
        response = response.header(name, value);
    }
    response.body(Full::new(coming.body.into())).expect("a response")
}
