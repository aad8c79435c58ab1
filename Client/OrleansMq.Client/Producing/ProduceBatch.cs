using OrleansMq.Api;
using OrleansMq.Records;

namespace OrleansMq.Client;

/// <summary>A batch of one partition, from its first record to its report.</summary>
internal sealed partial class ProduceBatch(CompressionType compression, CompressionCodecs codecs) : IDisposable
{
    private readonly RecordBatchBuilder _builder = new(compression, codecs);
    private Entry[] _entries = [];
    private int _entryCount;

    /// <summary>When its first record was sent. The delivery deadline counts from here.</summary>
    public long SentAt { get; private set; }
    /// <summary>When its linger ends, unless one of its records is awaited.</summary>
    public long LingerUntil { get; set; }
    /// <summary>Whether one of its records is awaited, or a flush waits for it: no linger.</summary>
    public bool IsUrgent { get; set; }
    /// <summary>Whether its records are written together or not at all: it is never split, and its first recipient hears for all.</summary>
    public bool IsWhole { get; set; }
    /// <summary>Whether one of its records must survive a power cut.</summary>
    public bool IsPersistent { get; private set; }
    /// <summary>Bytes of buffer memory taken by its records.</summary>
    public long Bytes { get; private set; }
    public int RecordCount => _builder.RecordCount;
    private FlushGeneration? _generation;
    private List<FlushGeneration>? _earlierGenerations;

    /// <summary>Once sent, the sequence number of its first record; -1 without idempotence.</summary>
    public int BaseSequence { get; set; } = -1;
    /// <summary>How many times it was handed to the broker.</summary>
    public int Attempts { get; set; }
    /// <summary>Whether the broker has it. Its bytes must not be touched, and its outcome is open.</summary>
    public bool IsInFlight { get; set; }
    /// <summary>Whether it was sent with nothing unresolved before it. A wrong sequence number is then not the fault of an earlier
    /// batch.</summary>
    public bool WasHead { get; set; }
    /// <summary>Whether it is delivered; it is reported only after those before it.</summary>
    public bool IsAcknowledged { get; set; }
    /// <summary>Whether an attempt ended without telling whether it was appended.</summary>
    public bool MayBeWritten { get; set; }
    /// <summary>Whether an attempt was not answered, and so may arrive at the broker yet.</summary>
    public bool WasUnanswered { get; set; }
    /// <summary>Whether an earlier batch under the same producer epoch will never be written, and so neither will this one.</summary>
    public bool CannotBeWritten { get; set; }
    /// <summary>Whether its recipients were notified.</summary>
    public bool IsReported { get; set; }
    /// <summary>The last response.</summary>
    public ProduceResult Result { get; set; }

    public void Open(long sentAt, long lingerUntil, FlushGeneration generation)
    {
        SentAt = sentAt;
        LingerUntil = lingerUntil;
        _generation = generation;
    }

    /// <summary>
    /// Takes over the flush generation of a record that had to wait before it got here. If the batch belongs to another generation, a flush
    /// was called since the record was sent, and waits for it.
    /// </summary>
    public void Carry(FlushGeneration generation)
    {
        if (ReferenceEquals(generation, _generation))
        {
            generation.Done();
            return;
        }
        IsUrgent = true;
        _earlierGenerations ??= [];
        if (_earlierGenerations.Contains(generation))
            generation.Done();
        else
            _earlierGenerations.Add(generation);
    }

    /// <summary>Removes this batch from the flush generations that count it.</summary>
    public void CountOff()
    {
        _generation!.Done();
        foreach (var generation in _earlierGenerations ?? [])
            generation.Done();
    }

    /// <summary>Whether a record fits. The first one always does.</summary>
    public bool HasRoomFor(int size, int batchSize) => _builder.RecordCount == 0 || _builder.EstimatedSize + size <= batchSize;

    /// <summary>Whether not even a small record would fit.</summary>
    public bool IsFull(int batchSize) => _builder.EstimatedSize >= batchSize;

    public void Add(in RecordData record)
    {
        if (record.Recipient.Target is { } target)
            AddEntry(new Entry(_builder.RecordCount, record.Timestamp, target));
        IsUrgent |= record.Recipient.IsAwaited;
        IsPersistent |= !record.IsTransient;
        Bytes += record.Size;
        _builder.Add(record.Timestamp, record.Key, record.HasKey, record.Value, record.HasValue, record.Headers);
    }

    /// <summary>Returns the batch's bytes, sealed for a producer and sequence; valid until the batch is reset.</summary>
    public Memory<byte> Seal(ProducerIdentity? identity, bool transactional)
    {
        if (identity is { } producer)
            _builder.SetProducer(producer.ProducerId, producer.ProducerEpoch, BaseSequence, transactional);
        return _builder.Build();
    }

    /// <summary>The recipients of reports, in record order.</summary>
    public ReadOnlySpan<Entry> Entries => _entries.AsSpan(0, _entryCount);

    /// <summary>Its size in bytes before compression.</summary>
    public int EstimatedSize => _builder.EstimatedSize;

    /// <summary>
    /// Moves the records and their state into two empty batches: the first half and the rest. This batch keeps only its memory.
    /// </summary>
    public void SplitInto(ProduceBatch first, ProduceBatch second, CompressionCodecs codecs)
    {
        var half = RecordCount / 2;
        // Each half counts towards every flush that the whole batch counted towards.
        foreach (var generation in _earlierGenerations ?? [])
            generation.AddAnother();
        _generation!.AddAnother();
        first.Inherit(this);
        second.Inherit(this);
        var isTransient = !IsPersistent;
        using var reader = new RecordReader(_builder.Build(), codecs, verifyCrc: false);
        var entries = Entries;
        for (var i = 0; reader.MoveNext(); i++)
        {
            var target = i < half ? first : second;
            var recipient = default(Recipient);
            if (!entries.IsEmpty && entries[0].Index == i)
            {
                recipient = new Recipient(entries[0].Target);
                entries = entries[1..];
            }
            target.Add(reader.Current, recipient, isTransient);
        }
        Bytes = 0;
    }

    private void Inherit(ProduceBatch whole)
    {
        Queue = whole.Queue;
        SentAt = whole.SentAt;
        LingerUntil = whole.LingerUntil;
        IsUrgent = whole.IsUrgent;
        Result = whole.Result;
        _generation = whole._generation;
        _earlierGenerations = whole._earlierGenerations is { Count: > 0 } earlier ? [.. earlier] : null;
    }

    private void Add(in Record record, Recipient recipient, bool isTransient)
    {
        var headers = record.ReadHeaders();
        var (key, value) = (record.Key.GetValueOrDefault(), record.Value.GetValueOrDefault());
        Add(new RecordData
        {
            Key = key.Span,
            HasKey = record.Key is not null,
            Value = value.Span,
            HasValue = record.Value is not null,
            Headers = headers,
            Timestamp = record.Timestamp,
            Size = RecordBatchBuilder.MaxRecordSize(key.Length, value.Length, headers),
            Partition = -1,
            Recipient = recipient,
            IsTransient = isTransient,
        });
    }

    /// <summary>Returns the keys of its records, for the reports of a failed batch. All are unknown if decompression fails.</summary>
    public ReadOnlyMemory<byte>?[] ReadKeys(CompressionCodecs codecs)
    {
        var keys = new ReadOnlyMemory<byte>?[RecordCount];
        try
        {
            using var reader = new RecordReader(_builder.Build(), codecs, verifyCrc: false);
            for (var i = 0; reader.MoveNext(); i++)
                keys[i] = reader.Current.Key is { } key ? key.ToArray() : (ReadOnlyMemory<byte>?)null;
        }
        catch (CodecUnavailableException)
        {
            // The codec is why the batch failed, and the report says so.
        }
        return keys;
    }

    /// <summary>Resets the batch to its initial state and keeps its memory.</summary>
    public void Reset()
    {
        Array.Clear(_entries, 0, _entryCount);
        _entryCount = 0;
        _builder.Reset();
        Bytes = 0;
        _generation = null;
        _earlierGenerations?.Clear();
        IsUrgent = IsPersistent = IsInFlight = WasHead = IsAcknowledged = MayBeWritten = WasUnanswered = CannotBeWritten = IsReported
            = IsWhole = false;
        BaseSequence = -1;
        Attempts = 0;
        Result = default;
    }

    public void Dispose() => _builder.Dispose();

    private void AddEntry(Entry entry)
    {
        if (_entryCount == _entries.Length)
            Array.Resize(ref _entries, Math.Max(16, _entries.Length * 2));
        _entries[_entryCount++] = entry;
    }

    /// <summary>A record whose recipient wants a report.</summary>
    internal readonly record struct Entry(int Index, long Timestamp, object Target);
}
