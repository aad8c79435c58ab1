using OrleansMq.Records;

namespace OrleansMq.Client;

/// <summary>Who hears of a record: nobody (fire and forget), a callback, or an awaited <see cref="Delivery"/>.</summary>
internal readonly record struct Recipient(object? Target)
{
    /// <summary>Whether somebody awaits the record, so that no linger may hold it up.</summary>
    public bool IsAwaited => Target is Delivery;
}

/// <summary>A serialized record on its way into a batch, over memory of the caller's.</summary>
internal readonly ref struct RecordData
{
    public required ReadOnlySpan<byte> Key { get; init; }
    public required bool HasKey { get; init; }
    public required ReadOnlySpan<byte> Value { get; init; }
    public required bool HasValue { get; init; }
    public required ReadOnlySpan<RecordHeader> Headers { get; init; }
    public required long Timestamp { get; init; }
    /// <summary>Bytes it takes in a batch at most: what is accounted for it.</summary>
    public required int Size { get; init; }
    /// <summary>-1 to let the partitioner choose.</summary>
    public required int Partition { get; init; }
    public required Recipient Recipient { get; init; }
}

/// <summary>
/// A record that cannot go into a batch yet, since there is no room or its topic's partitions are not known: the rare case, with a copy of
/// its bytes.
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
    private TaskCompletionSource? _accepted;

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
        Size = data.Size;
        Recipient = data.Recipient;
        SentAt = sentAt;
        Generation = generation;
    }

    public TopicQueue Topic { get; }
    public int Size { get; }
    public Recipient Recipient { get; }
    /// <summary>When it was sent: its delivery deadline counts from here.</summary>
    public long SentAt { get; }
    /// <summary>What a flush waits for.</summary>
    public FlushGeneration Generation { get; }
    /// <summary>Under the lock of the queue it waits in: it left without being accepted.</summary>
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
        Size = Size,
        Partition = _partition,
        Recipient = Recipient,
    };

    public TopicPartition TopicPartition => new(Topic.Name, _partition);

    /// <summary>Completes when there is room. Asked for before the record waits in a queue, or not at all.</summary>
    public Task Accepted => (_accepted ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;

    public void SetAccepted() => _accepted?.TrySetResult();

    /// <summary>Whether somebody waits for room, and so hears of a failure there.</summary>
    public bool TrySetFailed(Exception error) => _accepted?.TrySetException(error) ?? false;
}
