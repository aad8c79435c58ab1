using System.Buffers.Binary;
using System.Diagnostics;
using OrleansMq.Cli.Benchmark;
using OrleansMq.Records;

namespace OrleansMq.Tests.Benchmarks.Peers.Load;

/// <summary>A transactional id with its connection: one transaction at a time, each to the next partitions of the topic.</summary>
internal sealed class TransactionConnection : IDisposable
{
    private const int ProduceTimeoutMs = 60_000;
    private const short ConcurrentTransactions = 51;
    // The errors of a coordinator that is being found or loaded: not available, loading, elsewhere; and of a transaction that is ending.
    private static readonly short[] Passing = [14, 15, 16, ConcurrentTransactions];
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(2);
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    // Positions in a record batch.
    private const int CrcAt = 17;
    private const int AttributesAt = 21;
    private const int ProducerIdAt = 43;
    private const int EpochAt = 51;
    private const int SequenceAt = 53;
    private const byte IsTransactional = 0x10;

    private readonly TransactionOptions _options;
    private readonly WireConnection _connection;
    private readonly string _id;
    private readonly byte[] _batch;
    private readonly int _recordsInBatch;
    private readonly int[] _sequences;
    private long _producerId;
    private short _epoch;
    private int _next;
    private int _count;

    public TransactionConnection(TransactionOptions options, int number, byte[] batch, int recordsInBatch)
    {
        (_options, _recordsInBatch) = (options, recordsInBatch);
        _id = $"{options.Topic}-{number}";
        _batch = [.. batch];
        _batch[AttributesAt + 1] |= IsTransactional;
        _sequences = new int[options.Partitions];
        // Producers begin at different partitions.
        _next = number * options.InTransaction % options.Partitions;
        _connection = WireConnection.Open(options.Bootstrap, authorities: options.Authorities);
        Begin();
    }

    private bool IsSecond => _options.Version == 2;

    public void Dispose() => _connection.Dispose();

    /// <summary>Runs transactions until all of the run are taken.</summary>
    /// <param name="pace">The transactions of all producers.</param>
    /// <param name="end">Receives the latency of the request that ends each.</param>
    /// <param name="whole">Receives the latency of each whole one.</param>
    public void Run(Pace pace, LatencyHistogram end, LatencyHistogram whole)
    {
        while (pace.TryTake(out var start))
        {
            Open();
            var ending = Stopwatch.GetTimestamp();
            var aborts = _options.AbortEvery > 0 && ++_count % _options.AbortEvery == 0;
            Retry(ApiVersion.EndTxn1, () => End(!aborts));
            end.RecordSince(ending);
            whole.RecordSince(start);
            _next = (_next + _options.InTransaction) % _options.Partitions;
        }
    }

    /// <summary>Begins a transaction in its partitions, and leaves it open.</summary>
    public void Open()
    {
        if (!IsSecond)
            Retry(ApiVersion.AddPartitionsToTxn, Add);
        Retry(ApiVersion.Produce, Produce);
    }

    /// <summary>Aborts the open transaction, which the broker does itself after the timeout.</summary>
    public void Abort() => Retry(ApiVersion.EndTxn1, () => End(commits: false));

    private void Begin()
    {
        Retry(ApiVersion.FindCoordinator, () =>
        {
            _connection.Ask(new WireWriter(ApiVersion.FindCoordinator).String(_id).Int8(1).Build());
            _connection.ReadInt32(); // throttle time
            var error = _connection.ReadInt16();
            _connection.SkipString(); // message
            _connection.ReadInt32(); // node
            _connection.SkipString();
            _connection.ReadInt32();
            return error;
        });
        Retry(ApiVersion.InitProducerId, () =>
        {
            _connection.Ask(new WireWriter(ApiVersion.InitProducerId).String(_id).Int32((int)_options.Timeout.TotalMilliseconds).Build());
            _connection.ReadInt32(); // throttle time
            var error = _connection.ReadInt16();
            (_producerId, _epoch) = (_connection.ReadInt64(), _connection.ReadInt16());
            return error;
        });
    }

    private short Add()
    {
        var request = new WireWriter(ApiVersion.AddPartitionsToTxn).String(_id).Int64(_producerId).Int16(_epoch).Int32(1)
            .String(_options.Topic).Int32(_options.InTransaction);
        foreach (var partition in Partitions())
            request.Int32(partition);
        _connection.Ask(request.Build());
        _connection.ReadInt32(); // throttle time
        _connection.ReadInt32(); // one topic
        _connection.SkipString();
        short failed = 0;
        for (var left = _connection.ReadInt32(); left > 0; left--)
        {
            _connection.ReadInt32();
            failed = _connection.ReadInt16() is not 0 and var error ? error : failed;
        }
        return failed;
    }

    private short Produce()
    {
        var request = new WireWriter(IsSecond ? ApiVersion.Produce2 : ApiVersion.Produce);
        if (IsSecond)
            request.CompactString(_id).Int16(-1).Int32(ProduceTimeoutMs).CompactLength(1).CompactString(_options.Topic)
                .CompactLength(_options.InTransaction);
        else
            request.String(_id).Int16(-1).Int32(ProduceTimeoutMs).Int32(1).String(_options.Topic).Int32(_options.InTransaction);
        foreach (var partition in Partitions())
        {
            Stamp(_sequences[partition]);
            if (IsSecond)
                request.Int32(partition).CompactBytes(_batch).Tags();
            else
                request.Int32(partition).Bytes(_batch);
        }
        if (IsSecond)
            request.Tags().Tags();
        _connection.Ask(request.Build());
        var failed = IsSecond ? ReadProduced2() : ReadProduced1();
        if (failed == 0)
        {
            foreach (var partition in Partitions())
                _sequences[partition] += _recordsInBatch;
        }
        return failed;
    }

    private short ReadProduced1()
    {
        short failed = 0;
        for (var topics = _connection.ReadInt32(); topics > 0; topics--)
        {
            _connection.SkipString();
            for (var partitions = _connection.ReadInt32(); partitions > 0; partitions--)
            {
                _connection.ReadInt32();
                failed = _connection.ReadInt16() is not 0 and var error ? error : failed;
                _connection.Skip(8 + 8 + 8); // base offset, append time, first offset
            }
        }
        _connection.ReadInt32(); // throttle time
        return failed;
    }

    private short ReadProduced2()
    {
        short failed = 0;
        _connection.SkipTags();
        for (var topics = _connection.ReadCompactLength(); topics > 0; topics--)
        {
            _connection.Skip(_connection.ReadCompactLength()); // name
            for (var partitions = _connection.ReadCompactLength(); partitions > 0; partitions--)
            {
                _connection.ReadInt32();
                failed = _connection.ReadInt16() is not 0 and var error ? error : failed;
                _connection.Skip(8 + 8 + 8); // base offset, append time, first offset
                for (var records = _connection.ReadCompactLength(); records > 0; records--)
                {
                    _connection.ReadInt32();
                    _connection.Skip(_connection.ReadCompactLength());
                    _connection.SkipTags();
                }
                _connection.Skip(_connection.ReadCompactLength()); // message
                _connection.SkipTags();
            }
            _connection.SkipTags();
        }
        _connection.ReadInt32(); // throttle time
        _connection.SkipTags();
        return failed;
    }

    private short End(bool commits)
    {
        var committed = (sbyte)(commits ? 1 : 0);
        if (!IsSecond)
        {
            _connection.Ask(new WireWriter(ApiVersion.EndTxn1).String(_id).Int64(_producerId).Int16(_epoch).Int8(committed).Build());
            _connection.ReadInt32(); // throttle time
            return _connection.ReadInt16();
        }
        _connection.Ask(new WireWriter(ApiVersion.EndTxn2).CompactString(_id).Int64(_producerId).Int16(_epoch).Int8(committed).Tags()
            .Build());
        _connection.SkipTags();
        _connection.ReadInt32(); // throttle time
        var error = _connection.ReadInt16();
        var (producerId, epoch) = (_connection.ReadInt64(), _connection.ReadInt16());
        _connection.SkipTags();
        if (error == 0)
        {
            (_producerId, _epoch) = (producerId, epoch);
            // With each epoch they begin again.
            Array.Clear(_sequences);
        }
        return error;
    }

    private IEnumerable<int> Partitions()
    {
        for (var i = 0; i < _options.InTransaction; i++)
            yield return (_next + i) % _options.Partitions;
    }

    private void Stamp(int sequence)
    {
        BinaryPrimitives.WriteInt64BigEndian(_batch.AsSpan(ProducerIdAt), _producerId);
        BinaryPrimitives.WriteInt16BigEndian(_batch.AsSpan(EpochAt), _epoch);
        BinaryPrimitives.WriteInt32BigEndian(_batch.AsSpan(SequenceAt), sequence);
        BinaryPrimitives.WriteUInt32BigEndian(_batch.AsSpan(CrcAt), Crc32C.Compute(_batch.AsSpan(AttributesAt)));
    }

    // As real clients do, though after a shorter pause than theirs.
    private void Retry(ApiVersion api, Func<short> ask)
    {
        for (var start = Stopwatch.GetTimestamp(); ;)
        {
            var error = ask();
            if (error == 0)
                return;
            if (!Passing.Contains(error) || Stopwatch.GetElapsedTime(start) > Patience)
                throw LoadFailedException.Answered(api, _id, error);
            Thread.Sleep(Pause);
        }
    }
}
