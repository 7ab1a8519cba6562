//! Asks a policyd daemon whether the bearer of an access token may perform an action on a resource.
//!
//! Access is granted by [`Answer::allowed`] alone. Where there is no answer there is an [`Error`],
//! and [`refusal`] turns a deny or an error into the HTTP response that goes with it.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod client;
mod filter;
mod messages;
mod values;

pub use client::{Builder, Client};
pub use filter::{
    Filter, FilterAttribute, FilterCondition, FilterOperand, FilterOutcome, FilterValue,
};
pub use values::{
    Answer, Batch, Certainty, Error, Item, Object, Outcome, PartialAnswer, Proof, Question,
    Refusal, Resource, Subject, SubjectKind, Value, refusal,
};

// tonic's codes are part of [`Error`].
pub use tonic::Code;

#[allow(missing_docs, clippy::all, clippy::pedantic)]
mod proto {
    tonic::include_proto!("policyd.v1");
}
