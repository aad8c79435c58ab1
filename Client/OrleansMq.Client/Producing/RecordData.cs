namespace OrleansMq.Client;

/// <summary>The recipient of a record's report: none (fire and forget), a callback, or an awaited <see cref="Delivery"/>.</summary>
internal readonly record struct Recipient(object? Target)
{
    /// <summary>Whether the record is awaited, and so must not linger.</summary>
    public bool IsAwaited => Target is Delivery;
}

/// <summary>A serialized record on its way into a batch, over the caller's memory.</summary>
internal readonly ref struct RecordData
{
    public required ReadOnlySpan<byte> Key { get; init; }
    public required bool HasKey { get; init; }
    public required ReadOnlySpan<byte> Value { get; init; }
    public required bool HasValue { get; init; }
    public required ReadOnlySpan<RecordHeader> Headers { get; init; }
    public required long Timestamp { get; init; }
    /// <summary>The most bytes it can take in a batch; this much room is taken for it.</summary>
    public required int Size { get; init; }
    /// <summary>The partition; -1 to let the partitioner choose.</summary>
    public required int Partition { get; init; }
    public required Recipient Recipient { get; init; }
    /// <summary>Whether it need not survive a power cut.</summary>
    public bool IsTransient { get; init; }
}

/// <summary>
/// A record that cannot be added to a batch yet, for lack of room or because its topic's partitions are unknown. The rare case; holds a
/// copy of the record's bytes.
/// </summary>
internal sealed class PendingRecord
{
    private readonly byte[] _bytes;
    private readonly int _keyLength;
    private readonly bool _hasKey;
    private readonly bool _hasValue;
    private readonly RecordHeader[] _headers;
    private readonly long _timestamp;
    private readonly int _partition;
    private readonly bool _isTransient;
    private readonly int _size;
    private TaskCompletionSource? _accepted;

    /// <param name="topic">Its topic.</param>
    /// <param name="data">The record, which is copied.</param>
    /// <param name="sentAt">When it was sent.</param>
    /// <param name="generation">The flush generation that counts it.</param>
    public PendingRecord(TopicQueue topic, in RecordData data, long sentAt, FlushGeneration generation)
    {
        Topic = topic;
        _bytes = new byte[data.Key.Length + data.Value.Length];
        data.Key.CopyTo(_bytes);
        data.Value.CopyTo(_bytes.AsSpan(data.Key.Length));
        _keyLength = data.Key.Length;
        _hasKey = data.HasKey;
        _hasValue = data.HasValue;
        _headers = data.Headers.ToArray();
        _timestamp = data.Timestamp;
        _partition = data.Partition;
        _isTransient = data.IsTransient;
        _size = Room = data.Size;
        Recipient = data.Recipient;
        SentAt = sentAt;
        Generation = generation;
    }

    public TopicQueue Topic { get; }
    /// <summary>The bytes of room that it takes, with <see cref="Others"/>.</summary>
    public int Room { get; private set; }
    /// <summary>The records that go into one batch with it, behind it.</summary>
    public IReadOnlyList<PendingRecord> Others { get; private set; } = [];
    public Recipient Recipient { get; }
    /// <summary>When it was sent. The delivery deadline counts from here.</summary>
    public long SentAt { get; }
    /// <summary>The flush generation that counts it.</summary>
    public FlushGeneration Generation { get; }
    /// <summary>Whether it left its queue without being accepted. Guarded by the queue's lock.</summary>
    public bool IsGone { get; set; }

    public ReadOnlyMemory<byte>? Key => _hasKey ? _bytes.AsMemory(0, _keyLength) : (ReadOnlyMemory<byte>?)null;

    public RecordData Data => new()
    {
        Key = _bytes.AsSpan(0, _keyLength),
        HasKey = _hasKey,
        Value = _bytes.AsSpan(_keyLength),
        HasValue = _hasValue,
        Headers = _headers,
        Timestamp = _timestamp,
        Size = _size,
        Partition = _partition,
        Recipient = Recipient,
        IsTransient = _isTransient,
    };

    /// <summary>Whether it says where it belongs, by a partition or a key.</summary>
    public bool IsPlaced => _partition >= 0 || _hasKey;

    public TopicPartition TopicPartition => new(Topic.Name, _partition);

    /// <summary>Completes when there is room. If used, it must be read before the record is queued.</summary>
    public Task Accepted => (_accepted ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;

    /// <summary>Takes the records that go into one batch with it.</summary>
    public void TakeAlong(IReadOnlyList<PendingRecord> others)
    {
        Others = others;
        Room = _size + others.Sum(static other => other._size);
    }

    public void SetAccepted() => _accepted?.TrySetResult();

    /// <summary>Fails the wait for room. Returns false if nothing waits for it.</summary>
    public bool TrySetFailed(Exception error) => _accepted?.TrySetException(error) ?? false;
}
