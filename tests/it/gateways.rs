//! ITI-38 and 39 between brokers, and what a consumer gets of a federation in trouble.
