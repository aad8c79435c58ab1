using OrleansMq.Queues;
using OrleansMq.Records;

namespace OrleansMq.Partitions.Cursors;

/// <summary>The first dead letters of a publication, as many as memory allows, in pooled memory.</summary>
internal sealed class LetterRead : IDisposable
{
    private const long MostBytes = 16 << 20;

    private readonly ReceivedRecords _records;

    private LetterRead(ReceivedRecords records) => _records = records;

    /// <summary>The letters, by sequence.</summary>
    public List<DeadLetter> Letters { get; } = [];

    /// <summary>The sequences of those whose records are gone (deleted, compacted), or can never be read.</summary>
    public List<long> Lost { get; } = [];

    /// <summary>The last sequence that was looked at.</summary>
    public long Through { get; private set; }

    /// <summary>Reads the records of intents.</summary>
    /// <exception cref="RecordBatchException">None can be read now.</exception>
    /// <exception cref="CodecUnavailableException">The codec of the first one's batch is not available.</exception>
    /// <exception cref="IOException">The disk failed.</exception>
    public static LetterRead Read(Partition partition, IReadOnlyList<DeadLetterIntent> intents)
    {
        var delivery = new Deliver(0, default, [.. intents.Select(intent => new DeliveredRecord(intent.Offset, intent.Counts, false))]);
        var records = ReceivedRecords.ReadSome(partition, delivery, [], new ReadBounds(MostBytes));
        var read = new LetterRead(records);
        try
        {
            read.Take(intents);
            return read;
        }
        catch (Exception)
        {
            read.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _records.Dispose();

    private void Take(IReadOnlyList<DeadLetterIntent> intents)
    {
        // In their order: those with a record or without, those of a batch that cannot be read, the rest.
        var count = intents.Count - (_records.Rest?.Records.Count ?? 0);
        var readable = count - (_records.Unreadable?.Records.Count ?? 0);
        // A broker with the codec reads it.
        if (_records.Fault is CodecUnavailableException)
            count = readable;
        if (count == 0)
            throw _records.Fault switch
            {
                // They are published in order.
                CodecUnavailableException missing => new CodecUnavailableException(missing.Type, $"{missing.Message} The record at offset "
                    + $"{intents[0].Offset} is compressed with {missing.Type}, and the dead letters after it wait, too. Install the codec "
                    + "on this broker, or let a broker that has it lead the partition.", missing),
                { } fault => fault,
                null => new RecordBatchException(RecordBatchError.Busy, "Another batch is decompressed at the moment."),
            };
        var byOffset = new Dictionary<long, Record>();
        foreach (var one in _records.Records)
            byOffset[one.Record.Offset] = one.Record;
        for (var i = 0; i < count; i++)
        {
            if (i < readable && byOffset.TryGetValue(intents[i].Offset, out var record))
                Letters.Add(new DeadLetter(intents[i], record));
            else
                Lost.Add(intents[i].Sequence);
        }
        Through = intents[count - 1].Sequence;
    }
}
