namespace OrleansMq.Consumers;

/// <summary>
/// The records whose effect is in a grain's state, as the last position of each source. It is a part of that state and written with it, so
/// that a record that comes again does nothing: <c>if (state.State.Processed.TryAdvance(record)) { change; await WriteStateAsync(); }</c>.
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

    /// <summary>Advances to a record, if its effect is not in the state yet.</summary>
    /// <param name="record">The record.</param>
    /// <returns>Whether it advanced: change the state, and write it once.</returns>
    public bool TryAdvance(ConsumedRecord record)
    {
        ArgumentNullException.ThrowIfNull(record);
        return TryAdvance(record.Position);
    }

    /// <inheritdoc cref="TryAdvance(ConsumedRecord)"/>
    /// <param name="position">The record's position.</param>
    public bool TryAdvance(RecordPosition position)
    {
        if (Contains(position))
            return false;
        _last.RemoveAll(last => last.Source == position.Source);
        if (_last.Count == MaxSources)
            _last.RemoveAt(0);
        _last.Add(position);
        return true;
    }
}
