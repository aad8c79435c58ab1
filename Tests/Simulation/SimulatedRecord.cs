using System.Runtime.InteropServices;
using OrleansMq.Replication;

namespace OrleansMq.Tests.Simulation;

/// <summary>A record as stored in a batch: its topic, producer, sequence and compaction key. The first entry of a batch is its header and
/// survives compaction: Delta is the number of records, Sequence the first one's, Key the last one's sequence. A tombstone's key is its
/// complement.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 4)]
internal readonly record struct SimulatedRecord(int Delta, int Topic, int Producer, int Sequence, int Key)
{
    /// <summary>The producer id without idempotence.</summary>
    public const int NoProducer = -1;

    /// <summary>The producer id of a control batch; its sequence says which. The ids below are those of publishers without idempotence,
    /// each of whose records has a message id: the publisher and its sequence.</summary>
    public const int Control = -2;

    /// <summary>Whether it deletes its key.</summary>
    public bool IsTombstone => Key < 0;

    /// <summary>The key that it writes or deletes.</summary>
    public int CompactionKey => IsTombstone ? ~Key : Key;

    /// <summary>Builds a batch as a producer sends it.</summary>
    public static byte[] Batch(int topic, int producer, int firstSequence, ReadOnlySpan<int> keys)
    {
        Span<SimulatedRecord> records = stackalloc SimulatedRecord[keys.Length + 1];
        records[0] = new SimulatedRecord(keys.Length, topic, producer, firstSequence, firstSequence + keys.Length - 1);
        for (var i = 0; i < keys.Length; i++)
            records[i + 1] = new SimulatedRecord(i, topic, producer, firstSequence + i, keys[i]);
        return MemoryMarshal.AsBytes(records).ToArray();
    }

    /// <summary>Builds a control batch.</summary>
    /// <param name="topic">The topic's number.</param>
    /// <param name="number">Its number in <see cref="Topic.ControlBatches"/>.</param>
    public static byte[] ControlBatch(int topic, int number)
    {
        Span<SimulatedRecord> records = [new(1, topic, Control, number, 0), new(0, topic, Control, number, int.MaxValue)];
        return MemoryMarshal.AsBytes(records).ToArray();
    }

    /// <summary>Returns the batch with fewer records.</summary>
    public static byte[] Retain(in ReplicatedBatch batch, List<SimulatedRecord> kept) =>
        MemoryMarshal.AsBytes<SimulatedRecord>([Header(batch.Bytes), .. kept]).ToArray();

    public static SimulatedRecord Header(ReadOnlyMemory<byte> batch) => MemoryMarshal.Cast<byte, SimulatedRecord>(batch.Span)[0];

    public static ReadOnlySpan<SimulatedRecord> In(ReadOnlyMemory<byte> batch) =>
        MemoryMarshal.Cast<byte, SimulatedRecord>(batch.Span)[1..];

    public override string ToString() => $"{Producer}/{Sequence}";
}
