// What sites held in a window of bins `[first, last]` of the recording. All of it is one
// pass over columns, so that a drag answers at once.

/** The bin of a window in which the heap was largest, the last time. */
function peakBin({ heap }, [first, last]) {
  let peak = first;
  for (let bin = first + 1; bin <= last; bin += 1) if (heap[bin] >= heap[peak]) peak = bin;
  return peak;
}

/** What each site held at a bin's own peak: its last entry up to there. */
function heldAt({ held }, bin, count) {
  const bytes = new Float64Array(count);
  const blocks = new Float64Array(count);
  for (let site = 0; site < count; site += 1) {
    let low = held.starts[site];
    let high = held.starts[site + 1];
    const start = low;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (held.bin[middle] <= bin) low = middle + 1;
      else high = middle;
    }
    if (low > start) {
      bytes[site] = held.bytes[low - 1];
      blocks[site] = held.blocks[low - 1];
    }
  }
  return { bytes, blocks };
}

/** What was allocated in the window and not freed in it. */
function keptIn({ kept }, [first, last], count) {
  const bytes = new Float64Array(count);
  const blocks = new Float64Array(count);
  const { site, born, freed } = kept;
  for (let at = 0; at < site.length; at += 1) {
    if (born[at] >= first && born[at] <= last && freed[at] > last) {
      bytes[site[at]] += kept.bytes[at];
      blocks[site[at]] += kept.blocks[at];
    }
  }
  return { bytes, blocks };
}

/** What was live at the end of the window, and just before it began. */
function liveAround({ kept }, [first, last], count) {
  const [bytes, blocks, bytesBefore, blocksBefore] = Array.from({ length: 4 }, () => new Float64Array(count));
  const { site, born, freed } = kept;
  for (let at = 0; at < site.length; at += 1) {
    const isAfter = born[at] <= last && freed[at] > last;
    const isBefore = born[at] < first && freed[at] >= first;
    const owner = site[at];
    if (isAfter) {
      bytes[owner] += kept.bytes[at];
      blocks[owner] += kept.blocks[at];
    }
    if (isBefore) {
      bytesBefore[owner] += kept.bytes[at];
      blocksBefore[owner] += kept.blocks[at];
    }
  }
  return [bytes, blocks, bytesBefore, blocksBefore];
}

/** The window that is looked at: all of the recording if none was chosen. */
function windowOf(model, state) {
  return state.window || [0, model.time.bins - 1];
}

/** Begin and end of a window, from the start of the recording. */
function windowTimes(model, [first, last]) {
  const { binNs } = model.time;
  return [first * binNs, Math.min((last + 1) * binNs, Math.max(model.recording.duration_ns, (first + 1) * binNs))];
}
