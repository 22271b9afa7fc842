//! The RPCs of `cloudvlan.engine.v1.EngineService`.

mod ping;
mod watch;

use crate::build::build;
use crate::engine::{CAPABILITY_VERSION, Engine};
use crate::failure::Failure;
use crate::spans::Parent;
use cloudvlan_gen::cloudvlan::engine::v1 as pb;
use pb::engine_service_server::EngineService;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::Notify;
use tokio_stream::Stream;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};
use tracing::Span;
use tracing::field::{Empty, display};

/// A stream of answers.
type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Serves one engine.
pub struct Service {
    engine: Arc<Engine>,
    shutdown: Arc<Notify>,
}

impl Service {
    /// `shutdown` is notified when a caller asks for the end of the process.
    #[must_use]
    pub fn new(engine: Arc<Engine>, shutdown: Arc<Notify>) -> Self {
        Self { engine, shutdown }
    }

    /// Runs what may take long (disk, signatures) off the thread that serves.
    async fn blocking<T: Send + 'static>(
        &self,
        span: Span,
        work: impl FnOnce(&Engine) -> Result<T, Failure> + Send + 'static,
    ) -> Result<Response<T>, Status> {
        let engine = self.engine.clone();
        let working = span.clone();
        let done = tokio::task::spawn_blocking(move || working.in_scope(|| work(&engine))).await;
        let result = done.map_err(|_| Status::internal("the engine failed; its log says why"))?;
        result.map(Response::new).map_err(|failure| {
            span.record("error", display(failure.reason));
            failure.into()
        })
    }
}

/// The span of a call; none when its caller records nothing.
macro_rules! span_of {
    ($request:expr, $name:literal) => {
        match parent_of($request.metadata()) {
            Some(parent) => tracing::info_span!($name, traceparent = %parent, error = Empty),
            None => Span::none(),
        }
    };
}

fn parent_of(metadata: &MetadataMap) -> Option<Parent> {
    Parent::read(metadata.get("traceparent")?.to_str().ok()?)
}

#[tonic::async_trait]
impl EngineService for Service {
    type WatchStream = Answers<pb::WatchResponse>;
    type PingStream = Answers<pb::PingResponse>;

    async fn get_identity(
        &self,
        request: Request<pb::GetIdentityRequest>,
    ) -> Result<Response<pb::GetIdentityResponse>, Status> {
        self.blocking(span_of!(request, "engine.GetIdentity"), |engine| {
            let (wireguard, control) = engine.public_keys()?;
            Ok(pb::GetIdentityResponse {
                instance_id: engine.instance_id().to_owned(),
                wireguard_public_key: wireguard.to_vec(),
                control_public_key: control.to_vec(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                capability_version: CAPABILITY_VERSION,
                build: build().to_owned(),
            })
        })
        .await
    }

    async fn prove(&self, request: Request<pb::ProveRequest>) -> Result<Response<pb::ProveResponse>, Status> {
        let span = span_of!(request, "engine.Prove");
        let request = request.into_inner();
        let remedy = "send what BeginJoin answered, and the SHA-256 that JoinRequest defines";
        let fixed = |field, bytes: &[u8]| {
            <[u8; 32]>::try_from(bytes).map_err(|_| Failure::field(field, "it is not 32 bytes long", remedy))
        };
        let server = fixed("server_public_key", &request.server_public_key)?;
        let transcript = fixed("transcript", &request.transcript)?;
        if !(1..=512).contains(&request.challenge.len()) {
            return Err(Failure::field("challenge", "it is not 1 to 512 bytes long", remedy).into());
        }
        self.blocking(span, move |engine| {
            let proofs = engine.prove(server, &request.challenge, &transcript)?;
            Ok(pb::ProveResponse {
                wireguard_proof: proofs.wireguard.to_vec(),
                control_proof: proofs.control.to_vec(),
            })
        })
        .await
    }

    async fn apply(&self, request: Request<pb::ApplyRequest>) -> Result<Response<pb::ApplyResponse>, Status> {
        let span = span_of!(request, "engine.Apply");
        let request = request.into_inner();
        self.blocking(span, move |engine| engine.apply(request)).await
    }

    async fn watch(&self, request: Request<pb::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Ok(Response::new(watch::stream(self.engine.clone(), request.into_inner())))
    }

    async fn get_status(
        &self,
        request: Request<pb::GetStatusRequest>,
    ) -> Result<Response<pb::GetStatusResponse>, Status> {
        let without_peers = request.into_inner().without_peers;
        self.blocking(Span::none(), move |engine| {
            let status = if without_peers {
                engine.brief_status().0
            } else {
                engine.status()
            };
            Ok(pb::GetStatusResponse { status: Some(status) })
        })
        .await
    }

    async fn explain(&self, request: Request<pb::ExplainRequest>) -> Result<Response<pb::ExplainResponse>, Status> {
        let request = request.into_inner();
        self.blocking(Span::none(), move |engine| engine.explain(&request))
            .await
    }

    async fn ping(&self, request: Request<pb::PingRequest>) -> Result<Response<Self::PingStream>, Status> {
        Ok(Response::new(ping::stream(&self.engine, &request.into_inner())?))
    }

    async fn shutdown(&self, _: Request<pb::ShutdownRequest>) -> Result<Response<pb::ShutdownResponse>, Status> {
        self.shutdown.notify_one();
        Ok(Response::new(pb::ShutdownResponse {}))
    }
}
