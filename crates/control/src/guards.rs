//! Guards of the producer: what needs a person before it may go out.
