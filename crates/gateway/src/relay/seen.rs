//! What the books need of the events that pass.

use freehold_llm::StreamEncoder;
use freehold_llm::model::{ApiError, Delta, Event, Usage};

/// What the books need of the events that pass.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) usage: Option<Usage>,
    pub(crate) ended: bool,
    pub(crate) bytes: u64,
}

impl Seen {
    pub(crate) fn event(&mut self, event: &Event) {
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
    pub(crate) fn encode(
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
