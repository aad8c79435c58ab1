namespace OrleansMq.Consumers;

/// <summary>The last source that was asked for: an activation has few, so most are not hashed again. Not thread-safe.</summary>
internal sealed class LastSource
{
    private (Guid Id, int Partition, byte[] Key, Guid Source)? _last;

    /// <inheritdoc cref="RecordPosition.SourceOf"/>
    /// <param name="id">The id of the topic or the cursor.</param>
    /// <param name="partition">The partition.</param>
    /// <param name="key">The key; it is not changed any more.</param>
    public Guid Of(Guid id, int partition, byte[] key)
    {
        if (_last is { } last && last.Id == id && last.Partition == partition && last.Key.AsSpan().SequenceEqual(key))
            return last.Source;
        var source = RecordPosition.SourceOf(id, partition, key);
        _last = (id, partition, key, source);
        return source;
    }
}
