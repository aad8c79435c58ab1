using System.Buffers.Binary;
using System.Diagnostics;
using OrleansMq.Cli.Benchmark;

namespace OrleansMq.Tests.Benchmarks.Peers.Load;

/// <summary>The read state of a partition.</summary>
/// <param name="Index">Its number.</param>
/// <param name="First">The first offset to read.</param>
/// <param name="Next">The log end when the run started.</param>
internal sealed record ReadPartition(int Index, long First, long Next)
{
    /// <summary>The next offset to fetch.</summary>
    public long Position { get; set; } = First;
}

/// <summary>One connection that fetches from partitions of one leader. It reads the header of each batch and skips the rest. Each request
/// names all partitions still being read, without a fetch session.</summary>
internal sealed class FetchConnection : IDisposable
{
    private const int BatchHeaderBytes = 61;
    private const int MaxWaitMs = 500;
    // Large enough to move much with one system call, small enough for the second-level cache.
    private const int BufferBytes = 256 << 10;

    private readonly WireConnection _connection;
    private readonly LoadOptions _options;
    private readonly Dictionary<int, ReadPartition> _partitions;
    private int _correlationId;

    public FetchConnection(string endpoint, LoadOptions options, IEnumerable<ReadPartition> partitions)
    {
        _connection = WireConnection.Open(endpoint, BufferBytes, authorities: options.Authorities);
        _options = options;
        _partitions = partitions.Where(partition => partition.Next > partition.First).ToDictionary(partition => partition.Index);
    }

    public void Dispose() => _connection.Dispose();

    /// <summary>Reads until the run has enough records, or once through all partitions.</summary>
    /// <param name="progress">The progress of all connections.</param>
    /// <param name="latencies">Receives the latency of each answer, from the request to the last byte.</param>
    public void Run(FetchProgress progress, LatencyHistogram latencies)
    {
        var active = _partitions.Values.ToList();
        while (active.Count > 0 && !progress.IsEnough)
        {
            var start = Stopwatch.GetTimestamp();
            _connection.Send(Request(active));
            ReadAnswer(progress);
            latencies.RecordSince(start);
            for (var i = active.Count - 1; i >= 0; i--)
            {
                if (active[i].Position < active[i].Next)
                    continue;
                active[i].Position = active[i].First;
                if (progress.IsOnce)
                    active.RemoveAt(i);
            }
        }
    }

    private byte[] Request(List<ReadPartition> active)
    {
        var request = new WireWriter(ApiVersion.Fetch).Int32(-1).Int32(MaxWaitMs).Int32(1).Int32(_options.FetchBytes)
            .Int8((sbyte)(_options.IsCommitted ? 1 : 0))
            .Int32(0).Int32(-1) // no session
            .Int32(1).String(_options.Topic).Int32(active.Count);
        foreach (var partition in active)
            request.Int32(partition.Index).Int32(-1).Int64(partition.Position).Int64(-1).Int32(_options.PartitionBytes);
        var bytes = request.Int32(0).String("").Build();
        BinaryPrimitives.WriteInt32BigEndian(bytes.AsSpan(WireWriter.CorrelationIdAt), ++_correlationId);
        return bytes;
    }

    private void ReadAnswer(FetchProgress progress)
    {
        var correlationId = _connection.ReadHeader();
        if (correlationId != _correlationId)
            throw new LoadFailedException($"Request {_correlationId} got the answer to {correlationId}: the broker confuses answers.");
        _connection.ReadInt32(); // throttle time
        if (_connection.ReadInt16() is not 0 and var failed)
            throw LoadFailedException.Answered(ApiVersion.Fetch, _options.Topic, failed);
        _connection.ReadInt32(); // session
        for (var topics = _connection.ReadInt32(); topics > 0; topics--)
        {
            _connection.SkipString();
            for (var partitions = _connection.ReadInt32(); partitions > 0; partitions--)
                ReadPartitionAnswer(progress);
        }
    }

    private void ReadPartitionAnswer(FetchProgress progress)
    {
        var partition = _partitions[_connection.ReadInt32()];
        if (_connection.ReadInt16() is not 0 and var error)
            throw LoadFailedException.Answered(ApiVersion.Fetch, $"partition {partition.Index}", error);
        _connection.Skip(8 + 8 + 8); // high watermark, last stable offset, first offset
        _connection.Skip(16 * Math.Max(_connection.ReadInt32(), 0)); // aborted transactions
        _connection.ReadInt32(); // preferred replica
        var left = Math.Max(_connection.ReadInt32(), 0);
        while (left >= BatchHeaderBytes)
        {
            var header = _connection.Read(BatchHeaderBytes);
            var baseOffset = BinaryPrimitives.ReadInt64BigEndian(header);
            var rest = BinaryPrimitives.ReadInt32BigEndian(header[8..]) + 12 - BatchHeaderBytes;
            var lastOffsetDelta = BinaryPrimitives.ReadInt32BigEndian(header[23..]);
            var records = BinaryPrimitives.ReadInt32BigEndian(header[57..]);
            left -= BatchHeaderBytes;
            if (rest < 0)
                throw new LoadFailedException($"Partition {partition.Index}: a batch at offset {baseOffset} is shorter than its header.");
            if (rest > left)
                break; // truncated by the response size; the rest is fetched again
            _connection.Skip(rest);
            left -= rest;
            partition.Position = baseOffset + lastOffsetDelta + 1;
            progress.Add(records, BatchHeaderBytes + rest);
        }
        _connection.Skip(left);
    }
}

/// <summary>The progress of all connections of a run. Thread safe.</summary>
/// <param name="wanted">The number of records to read; 0: each partition once.</param>
internal sealed class FetchProgress(long wanted)
{
    private long _records;
    private long _bytes;
    private bool _stopped;

    public bool IsOnce => wanted == 0;

    public bool IsEnough => Volatile.Read(ref _stopped) || (wanted > 0 && Records >= wanted);

    public long Records => Volatile.Read(ref _records);

    public long Bytes => Volatile.Read(ref _bytes);

    public void Add(int records, int bytes)
    {
        Interlocked.Add(ref _records, records);
        Interlocked.Add(ref _bytes, bytes);
    }

    /// <summary>Stops all reading.</summary>
    public void Stop() => Volatile.Write(ref _stopped, true);
}
