using OrleansMq.Cli.Benchmark;

namespace OrleansMq.Tests.Benchmarks.Peers.Load;

/// <summary>
/// One connection that produces to partitions of one leader. As fast as it goes, one thread keeps the window full and reads answers; at a fixed rate one thread sends
/// when it is time and another reads.
/// </summary>
internal sealed class ProduceConnection : IDisposable
{
    private readonly WireConnection _connection;
    private readonly ProduceTemplate _template;
    private readonly int[] _partitions;
    private readonly int _window;
    // When the unanswered requests were due; answers come in order.
    private readonly long[] _due;
    private int _nextPartition;
    private int _sent;
    private int _answered;

    public ProduceConnection(string endpoint, ProduceTemplate template, int[] partitions, int window)
    {
        _connection = WireConnection.Open(endpoint);
        _template = template.Copy();
        _partitions = partitions;
        _window = window;
        _due = new long[window];
    }

    public void Dispose() => _connection.Dispose();

    /// <summary>Sends what it gets of the run's requests, and returns when all of them are answered.</summary>
    public void Run(Pace pace, LatencyHistogram latencies)
    {
        if (pace.IsFixed)
            RunAtRate(pace, latencies);
        else
            RunAtFullSpeed(pace, latencies);
    }

    private void RunAtFullSpeed(Pace pace, LatencyHistogram latencies)
    {
        while (true)
        {
            while (_sent - _answered < _window && pace.TryTake(out var due))
                Send(due);
            if (_sent == _answered)
                return;
            do
                ReadAnswer(latencies);
            while (_connection.HasBuffered);
        }
    }

    private void RunAtRate(Pace pace, LatencyHistogram latencies)
    {
        // Counts the places in the window, and at the end the answers that are left.
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

    private void Send(long due)
    {
        _due[_sent % _window] = due;
        _connection.Send(_template.Patch(_sent, _partitions, _nextPartition));
        _nextPartition = (_nextPartition + _template.Partitions) % _partitions.Length;
        _sent++;
    }

    private void ReadAnswer(LatencyHistogram latencies)
    {
        var correlationId = _connection.ReadHeader();
        if (correlationId != _answered)
            throw new LoadFailedException($"Request {_answered} was answered as {correlationId}: the broker mixes answers up.");
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
