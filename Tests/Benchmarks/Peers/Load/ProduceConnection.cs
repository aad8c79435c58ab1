using System.Security.Cryptography.X509Certificates;
using OrleansMq.Cli.Benchmark;

namespace OrleansMq.Tests.Benchmarks.Peers.Load;

/// <summary>One connection that produces to partitions of one leader. At full speed one thread keeps the window full and reads answers
/// (<see cref="WindowedLoad"/>). At a fixed rate one thread sends requests when they are due and another reads.</summary>
internal sealed class ProduceConnection : IWindowedConnection, IDisposable
{
    private const int GatheredBytes = 32 << 10;

    private readonly WireConnection _connection;
    private readonly byte[] _gathering = new byte[GatheredBytes];
    private int _gathered;
    private readonly ProduceTemplate _template;
    private readonly int[] _partitions;
    private readonly int _window;
    // The due times of the unanswered requests; answers arrive in order.
    private readonly long[] _due;
    private int _nextPartition;
    private int _sent;
    private int _answered;

    public ProduceConnection(string endpoint, ProduceTemplate template, int[] partitions, int window,
        X509Certificate2Collection? authorities = null)
    {
        _connection = WireConnection.Open(endpoint, authorities: authorities);
        _template = template.Copy();
        _partitions = partitions;
        _window = window;
        _due = new long[window];
    }

    public void Dispose() => _connection.Dispose();

    public WireConnection Connection => _connection;

    public bool Fill(Pace pace)
    {
        while (_sent - _answered < _window && pace.TryTake(out var due))
            Gather(due);
        SendGathered();
        return _sent != _answered;
    }

    /// <summary>Sends this connection's requests of the run when they are due, and returns when all are answered.</summary>
    public void RunAtRate(Pace pace, LatencyHistogram latencies)
    {
        // Counts the free places in the window, and at the end the outstanding answers.
        using var window = new SemaphoreSlim(_window);
        using var unanswered = new SemaphoreSlim(0);
        var sentAll = false;
        var reader = LoadThreads.Start(() =>
        {
            while (true)
            {
                unanswered.Wait();
                if (Volatile.Read(ref sentAll) && _answered == Volatile.Read(ref _sent))
                    return;
                ReadAnswer(latencies);
                window.Release();
            }
        });
        try
        {
            while (pace.TryTake(out var due))
            {
                Pace.WaitUntil(due);
                while (!window.Wait(ReaderLooks))
                    reader.ThrowIfFailed();
                Send(due);
                unanswered.Release();
            }
        }
        finally
        {
            Volatile.Write(ref sentAll, true);
            unanswered.Release();
        }
        reader.Join();
    }

    private static readonly TimeSpan ReaderLooks = TimeSpan.FromSeconds(1);

    private void Send(long due) => _connection.Send(Next(due));

    // Small requests that are due are sent with one system call, as buffering clients do.
    private void Gather(long due)
    {
        var request = Next(due);
        if (request.Length > GatheredBytes / 2)
        {
            SendGathered();
            _connection.Send(request);
            return;
        }
        if (_gathered + request.Length > GatheredBytes)
            SendGathered();
        request.CopyTo(_gathering.AsSpan(_gathered));
        _gathered += request.Length;
    }

    private void SendGathered()
    {
        _connection.Send(_gathering.AsSpan(0, _gathered));
        _gathered = 0;
    }

    private ReadOnlySpan<byte> Next(long due)
    {
        _due[_sent % _window] = due;
        var request = _template.Patch(_sent, _partitions, _nextPartition);
        _nextPartition = (_nextPartition + _template.Partitions) % _partitions.Length;
        _sent++;
        return request;
    }

    public void ReadAnswer(LatencyHistogram latencies)
    {
        var correlationId = _connection.ReadHeader();
        if (correlationId != _answered)
            throw new LoadFailedException($"Request {_answered} got the answer to {correlationId}: the broker confuses answers.");
        for (var topics = _connection.ReadInt32(); topics > 0; topics--)
        {
            _connection.SkipString();
            for (var partitions = _connection.ReadInt32(); partitions > 0; partitions--)
            {
                var index = _connection.ReadInt32();
                if (_connection.ReadInt16() is not 0 and var error)
                    throw LoadFailedException.Answered(ApiVersion.Produce, $"partition {index}", error);
                _connection.Skip(8 + 8 + 8); // base offset, append time, first offset
            }
        }
        _connection.ReadInt32(); // throttle time
        latencies.RecordSince(_due[_answered % _window]);
        Volatile.Write(ref _answered, _answered + 1);
    }
}
