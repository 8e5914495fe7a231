//! Puts what is too large for an event into blobs, before it is decided about.

use freehold_store::blobs::BlobRef;

use super::Worker;
use crate::archive;
use crate::decide::{Cue, Ended, Found};
use crate::event::{Content, TimerPurpose};
use crate::sessions::Error;

impl Worker<'_> {
    /// Stows the large contents of cues; gives the references to be kept with
    /// the events that name them.
    pub(super) async fn stow(&self, cues: &mut [Cue]) -> Result<Vec<BlobRef>, Error> {
        let mut blobs = Vec::new();
        for content in cues.iter_mut().flat_map(contents) {
            blobs.extend(self.reader.stowed(content).await?);
        }
        Ok(blobs)
    }
}

/// Whether one of these has more than an event can hold.
pub(crate) fn are_large(cues: &mut [Cue]) -> Result<bool, Error> {
    for content in cues.iter_mut().flat_map(contents) {
        if archive::large(content)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What a cue brings.
fn contents(cue: &mut Cue) -> Vec<&mut Content> {
    match cue {
        Cue::Input { content, .. }
        | Cue::Signal { content, .. }
        | Cue::Listed { content, .. }
        | Cue::Chunk { content, .. }
        | Cue::ToolEnded { ended: Ended::Ok(content) | Ended::Failed(content), .. }
        | Cue::Queried { found: Found::Ok(content) | Found::Failed(content), .. }
        | Cue::SetTimer { purpose: TimerPurpose::Input(content), .. } => vec![content],
        Cue::Answered { answer, .. } => vec![&mut answer.content],
        Cue::ClientAnswers { answers } => {
            answers.iter_mut().map(|answer| &mut answer.content).collect()
        }
        _ => Vec::new(),
    }
}
