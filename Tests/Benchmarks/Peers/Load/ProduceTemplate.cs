using System.Buffers.Binary;
using OrleansMq.Compression;
using OrleansMq.Records;

namespace OrleansMq.Tests.Benchmarks.Peers.Load;

/// <summary>A pre-encoded produce request. Only its correlation id and its partition numbers are rewritten before each send.</summary>
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

    /// <summary>The number of records in a request.</summary>
    public int RecordsInRequest { get; }

    /// <summary>The number of partitions with a batch in a request.</summary>
    public int Partitions => _partitionsAt.Length;

    /// <summary>Creates a copy with its own memory, for another thread.</summary>
    public ProduceTemplate Copy() => new(this);

    /// <summary>Returns the request with that correlation id, for consecutive partitions of a list from <paramref name="first"/> on,
    /// wrapping around its end.</summary>
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

    /// <summary>Builds a batch of as many records as fit, at least one. The text compresses like typical data.</summary>
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

    /// <summary>Returns a size for <see cref="Batch"/> into which exactly that many records fit.</summary>
    /// <exception cref="ArgumentOutOfRangeException">More than 64 records: the unused reserve of each record would make room for another
    /// one.</exception>
    public static int BatchBytesOf(int records, int recordBytes)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(records);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(records, MaxCounted);
        return RecordBatchHeader.Size + (records * (recordBytes + BesideValue));
    }

    private const int MaxCounted = 64;
    // A value of 1,000 bytes takes nine or ten further bytes; the builder requires some thirty more to be free before it writes.
    private const int BesideValue = 24;
}
