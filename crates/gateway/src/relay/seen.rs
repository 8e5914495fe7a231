//! What the books need of the events that pass.

use freehold_llm::StreamEncoder;
use freehold_llm::model::{ApiError, Delta, Event, Usage};

/// What the books need of the events that pass.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) usage: Option<Usage>,
    pub(super) ended: bool,
    pub(super) bytes: u64,
}

impl Seen {
    pub(super) fn event(&mut self, event: &Event) {
        match event {
            Event::Start { usage: Some(usage), .. } | Event::Usage(usage) => {
                self.usage = Some(usage.clone());
            }
            Event::Delta { delta, .. } => {
                self.bytes += match delta {
                    Delta::Text(t)
                    | Delta::Refusal(t)
                    | Delta::Reasoning(t)
                    | Delta::Summary(t)
                    | Delta::Input(t) => t.len() as u64,
                    _ => 0,
                };
            }
            Event::End { .. } => self.ended = true,
            _ => {}
        }
    }

    /// Encodes events; gives an error event back instead of encoding it.
    pub(super) fn encode(
        &mut self,
        events: &[Event],
        encoder: &mut dyn StreamEncoder,
        out: &mut Vec<u8>,
    ) -> Option<ApiError> {
        for event in events {
            if let Event::Error(error) = event {
                return Some(error.clone());
            }
            self.event(event);
            encoder.event(event, out);
        }
        None
    }
}
