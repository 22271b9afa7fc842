//! Errors as callers see them: a code, and an `ErrorDetail` with reason, field and remedy.

use crate::keys::KeyError;
use crate::state_dir::StateError;
use cloudvlan_gen::cloudvlan::entity::v1::ErrorDetail;
use cvlan_explain::QuestionError;
use cvlan_map::{MapError, Reason};
use prost::Message;
use tonic::{Code, Status};

/// An error that says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What kind it is, for programs that know nothing of us.
    pub code: Code,
    /// Stable, UPPER_SNAKE.
    pub reason: &'static str,
    /// Path in the request; empty when no field is at fault.
    pub field: String,
    /// What happened.
    pub message: String,
    /// What to do next.
    pub remedy: String,
}

impl Failure {
    /// A field of the request is wrong.
    pub fn field(field: impl Into<String>, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            code: Code::InvalidArgument,
            reason: "BAD_FIELD",
            field: field.into(),
            message: message.into(),
            remedy: remedy.into(),
        }
    }

    /// The engine is not in a state for it.
    pub fn precondition(reason: &'static str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            code: Code::FailedPrecondition,
            reason,
            field: String::new(),
            message: message.into(),
            remedy: remedy.into(),
        }
    }

    /// The machine does not give what is needed.
    pub fn host(reason: &'static str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            code: Code::Unavailable,
            reason,
            field: String::new(),
            message: message.into(),
            remedy: remedy.into(),
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}; {}", self.reason, self.message, self.remedy)
    }
}

impl std::error::Error for Failure {}

impl From<MapError> for Failure {
    fn from(error: MapError) -> Self {
        let code = match error.reason() {
            Reason::Storage => Code::ResourceExhausted,
            Reason::Malformed | Reason::Truncated | Reason::TooMany => Code::InvalidArgument,
            _ => Code::FailedPrecondition,
        };
        Self {
            code,
            reason: error.reason().as_str(),
            field: error.field().to_owned(),
            message: error.to_string(),
            remedy: error.remedy().to_owned(),
        }
    }
}

impl From<QuestionError> for Failure {
    fn from(error: QuestionError) -> Self {
        Self::field(error.field, error.problem, "correct the field and ask again")
    }
}

impl From<StateError> for Failure {
    fn from(error: StateError) -> Self {
        Self {
            code: Code::ResourceExhausted,
            reason: "STORAGE",
            field: String::new(),
            message: error.to_string(),
            remedy: "free space in the state directory and check its permissions".to_owned(),
        }
    }
}

impl From<KeyError> for Failure {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::State(error) => error.into(),
            KeyError::Damaged => Self::precondition(
                "KEYS_DAMAGED",
                error.to_string(),
                "restore the file `keys`, or remove the state directory and join again",
            ),
        }
    }
}

/// `google.rpc.Status`, the form in which gRPC carries details.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<prost_types::Any>,
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        let message = failure.to_string();
        let detail = ErrorDetail {
            reason: failure.reason.to_owned(),
            field: failure.field,
            object_id: String::new(),
            remedy: failure.remedy,
        };
        let status = RpcStatus {
            code: failure.code.into(),
            message: message.clone(),
            details: vec![prost_types::Any {
                type_url: "type.googleapis.com/cloudvlan.entity.v1.ErrorDetail".to_owned(),
                value: detail.encode_to_vec(),
            }],
        };
        Self::with_details(failure.code, message, status.encode_to_vec().into())
    }
}
