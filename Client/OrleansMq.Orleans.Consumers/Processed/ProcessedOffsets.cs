using System.ComponentModel;

namespace OrleansMq.Consumers;

/// <summary>
/// The records whose effect is in a grain's state, as the last position of each source. It is a part of that state and written with it, so
/// that a record that comes again does nothing:
/// <c>if (state.State.Processed.TryApply(record, () => state.State.Cents += order.Cents)) await state.WriteStateAsync();</c>.
/// Whatever may fail comes before that, and the write is the last thing that the method awaits.
/// Orleans' serializer, System.Text.Json and Newtonsoft.Json write it. Not thread-safe.
/// </summary>
[GenerateSerializer, Alias("omq.ProcessedOffsets")]
public sealed class ProcessedOffsets
{
    // A grain has one source a topic. Sources of topics that were deleted and created again are the oldest.
    internal const int MaxSources = 64;

    [Id(0)]
    private List<RecordPosition> _last = [];

    /// <summary>The last position of each source, the one that advanced last at the end; at most 64.</summary>
    public IReadOnlyList<RecordPosition> Last
    {
        get => _last;
        init => _last = [.. value ?? []];
    }

    /// <summary>Whether a record's effect is in the state.</summary>
    /// <param name="position">The record's position.</param>
    public bool Contains(RecordPosition position)
    {
        ArgumentNullException.ThrowIfNull(position);
        return _last.Find(last => last.Source == position.Source) is { } last && position.Offset <= last.Offset;
    }

    /// <summary>Changes the state by a record, unless its effect is in the state. The change and the record's position are in memory
    /// together or not at all, so that any write of the state, also one of <see cref="Grain.OnDeactivateAsync"/>, stores both. A record at
    /// or below the last position of its source is skipped, also one that was dead-lettered: redrive it, which appends it
    /// again.</summary>
    /// <param name="record">The record.</param>
    /// <param name="change">Changes the state that this is a part of. It awaits nothing and does not throw: check before. After an
    /// exception the record counts as not applied, and what the change did until then is in memory.</param>
    /// <returns>Whether it changed: write the state once, and await nothing else before.</returns>
    public bool TryApply(ConsumedRecord record, Action change)
    {
        ArgumentNullException.ThrowIfNull(record);
        var applied = TryApply(record.Position, change);
        record.IsSkipped |= !applied;
        return applied;
    }

    /// <inheritdoc cref="TryApply(ConsumedRecord, Action)"/>
    /// <param name="position">The record's position, such as an event of a journaled grain has it.</param>
    /// <param name="change">Changes the state that this is a part of.</param>
    public bool TryApply(RecordPosition position, Action change)
    {
        ArgumentNullException.ThrowIfNull(change);
        if (Contains(position))
            return false;
        change();
        _last.RemoveAll(last => last.Source == position.Source);
        if (_last.Count == MaxSources)
            _last.RemoveAt(0);
        _last.Add(position);
        return true;
    }

    /// <summary>Never used: a change that awaits could be written without the record's position.</summary>
    /// <param name="record">The record.</param>
    /// <param name="change">The change.</param>
    /// <exception cref="NotSupportedException">Always.</exception>
    [EditorBrowsable(EditorBrowsableState.Never)]
    [Obsolete("The change awaits nothing: await what may fail before TryApply, and write the state after it.", error: true)]
    public bool TryApply(ConsumedRecord record, Func<Task> change) => throw new NotSupportedException("The change awaits nothing.");
}
