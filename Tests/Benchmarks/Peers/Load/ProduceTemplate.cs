using System.Buffers.Binary;
using OrleansMq.Compression;
using OrleansMq.Records;

namespace OrleansMq.Tests.Benchmarks.Peers.Load;

/// <summary>A produce request that was encoded once: only its correlation id and its partitions' numbers are written anew before it is sent
/// again.</summary>
internal sealed class ProduceTemplate
{
    private readonly byte[] _request;
    private readonly int[] _partitionsAt;

    public ProduceTemplate(string topic, short acks, ReadOnlySpan<byte> batch, int recordsInBatch, int partitions)
    {
        var request = new WireWriter(ApiVersion.Produce).String(null).Int16(acks).Int32(TimeoutMs).Int32(1).String(topic).Int32(partitions);
        _partitionsAt = new int[partitions];
        for (var i = 0; i < partitions; i++)
        {
            _partitionsAt[i] = request.Length;
            request.Int32(0).Bytes(batch);
        }
        _request = request.Build();
        RecordsInRequest = recordsInBatch * partitions;
    }

    private ProduceTemplate(ProduceTemplate other)
    {
        _request = [.. other._request];
        _partitionsAt = other._partitionsAt;
        RecordsInRequest = other.RecordsInRequest;
    }

    private const int TimeoutMs = 30_000;

    /// <summary>Records that a request carries.</summary>
    public int RecordsInRequest { get; }

    /// <summary>Partitions that a request carries a batch for.</summary>
    public int Partitions => _partitionsAt.Length;

    /// <summary>One with memory of its own, for another thread.</summary>
    public ProduceTemplate Copy() => new(this);

    /// <summary>The request with that correlation id, for partitions that follow each other in a list, starting at <paramref name="first"/>
    /// and around its end.</summary>
    public ReadOnlySpan<byte> Patch(int correlationId, ReadOnlySpan<int> partitions, int first)
    {
        BinaryPrimitives.WriteInt32BigEndian(_request.AsSpan(WireWriter.CorrelationIdAt), correlationId);
        foreach (var at in _partitionsAt)
        {
            BinaryPrimitives.WriteInt32BigEndian(_request.AsSpan(at), partitions[first]);
            first = first + 1 == partitions.Length ? 0 : first + 1;
        }
        return _request;
    }

    /// <summary>A batch of as many records as fit, one at least; their text compresses as people's data does.</summary>
    public static byte[] Batch(int recordBytes, int batchBytes, CompressionType codec, long timestamp, out int records)
    {
        using var builder = new RecordBatchBuilder(codec, StandardCodecs.All, batchBytes);
        var random = new Random(1);
        var value = new byte[recordBytes];
        do
        {
            Samples.Fill(random, value);
            builder.Add(timestamp, default, false, value, true);
        }
        while (builder.EstimatedSize + RecordBatchBuilder.MaxRecordSize(0, recordBytes, []) <= batchBytes);
        records = builder.RecordCount;
        return builder.Build().ToArray();
    }

    /// <summary>A size for <see cref="Batch"/> into which so many records fit, and not one more.</summary>
    /// <exception cref="ArgumentOutOfRangeException">More than 64: what a record may take beside its value, and does not, would make room
    /// for another one.</exception>
    public static int BatchBytesOf(int records, int recordBytes)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(records);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(records, MaxCounted);
        return RecordBatchHeader.Size + (records * (recordBytes + BesideValue));
    }

    private const int MaxCounted = 64;
    // Nine or ten bytes are taken beside a value of 1,000 bytes, some thirty more must be free before the record is written.
    private const int BesideValue = 24;
}
