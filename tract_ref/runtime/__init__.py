"""Running a model: plan, frames of buffers, sessions."""
