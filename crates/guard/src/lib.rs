//! Where protections live: small seams, a runner that holds every stage to what it declared, and one file per stage.
//!
//! A stage is a guest. It says in a [`StageDef`] what it may cost and what its failures mean; the [`runner`](Guard) enforces
//! that, and no stage implements it: fuel, panics, modes, breakers, weights, kill switches. A stage that panics costs one stage
//! of one request; a stage that spends its budget is judged by what it declared, and never switches itself off for others.
//!
//! What passed is a value: only [`Guard::admit`] makes an [`Admitted`] of a client's request, and only [`Guard::clear`] a
//! [`Cleared`] of a response. What goes to an origin, and what goes to a socket, takes nothing else.
//!
//! Not here: IO, sockets, which stages there are (the slice is assembled where the process is), what a page looks like.

mod admitted;
mod assemble;
pub mod blame;
mod bounds;
mod breaker;
mod caught;
mod cleared;
mod clearing;
mod clients;
mod edits;
mod endpoint;
mod events;
mod handed;
mod inspection;
mod kept;
pub mod kit;
mod places;
mod rates;
mod reference;
mod reserved;
pub mod rule_sets;
mod runner;
mod stage;
pub mod stages;
mod states;
mod trail;
mod unfinished;
mod verdict;

pub use admitted::{Admitted, BackgroundMethod};
pub use assemble::{Assembly, Files, NoFiles, ZoneInput};
pub use breaker::{Breaker, HALF_OPEN_AFTER, NETWORKS, set_speed};
pub use cleared::{Cleared, EdgeMade};
pub use clients::{ClientKey, ClientTable, Counted, InProgress, Limit, Window, network_of};
pub use edits::{Edits, HeadEdit};
pub use endpoint::{Answered, Answering, Asked, Endpoint, EndpointDef};
pub use events::{WafEvent, WafEvents, WafMatch};
pub use handed::OpenBreaker;
pub use inspection::Inspection;
pub use kept::KeptCollections;
pub use places::{BadPlaces, KnownPlaces, PlaceFile};
pub use rates::{HandedRates, HandedWindow, Rate, RateTable, Room};
pub use reference::{endpoints_markdown, stages_markdown};
pub use reserved::is_reserved;
pub use runner::{Guard, Scope, Subject};
pub use stage::{
    BodyStage, Budget, Follow, Following, Inspect, OnFault, OnKill, OnSpent, Opened, ReasonDef,
    ResponseStage, ResponseView, Seam, Seams, Sieve, Sifting, Stage, StageDef, Tell, Transform,
    Wants,
};
pub use stages::rules::wrong as wrong_condition;
pub use states::{StageCounts, States, ZoneId};
pub use trail::{Entry, Trail};
pub use verdict::{Answer, Page, Quota, Reason, Refusal, Reviewed, Transformed, Verdict};
