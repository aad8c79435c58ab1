using System.Text;
using OrleansMq.Cli.Benchmark;
using OrleansMq.Tests.Benchmarks.Peers.Load;

namespace OrleansMq.Tests.Benchmarks.Peers.Redis;

/// <summary>One connection that appends to a stream, as <see cref="ProduceConnection"/> does to partitions.</summary>
internal sealed class RedisConnection : IWindowedConnection, IDisposable
{
    private readonly WireConnection _connection;
    private readonly byte[] _commands;
    private readonly int _window;
    // The send times of the unanswered commands; answers arrive in order.
    private readonly long[] _due;
    private long _sent;
    private long _answered;

    public RedisConnection(string endpoint, string stream, byte[] value, int window)
    {
        _connection = WireConnection.Open(endpoint);
        _commands = RedisCommands.Append(stream, value, window);
        _window = window;
        _due = new long[window];
    }

    public void Dispose() => _connection.Dispose();

    public WireConnection Connection => _connection;

    public bool Fill(Pace pace)
    {
        var before = _sent;
        while (_sent - _answered < _window && pace.TryTake(out var due))
            _due[_sent++ % _window] = due;
        _connection.Send(_commands.AsSpan(0, (int)(_sent - before) * (_commands.Length / _window)));
        return _sent != _answered;
    }

    // The entry's id as a bulk string: $n CRLF 1700000000000-0 CRLF; an error is one line: -ERR text CRLF.
    public void ReadAnswer(LatencyHistogram latencies)
    {
        var kind = _connection.Read(1)[0];
        if (kind != '$')
            throw new LoadFailedException($"Redis answered '{(char)kind}{ReadLine()}' to XADD.");
        _connection.Skip(ReadLength() + 2);
        latencies.RecordSince(_due[_answered % _window]);
        _answered++;
    }

    private int ReadLength()
    {
        var length = 0;
        for (var next = _connection.Read(1)[0]; next != '\n'; next = _connection.Read(1)[0])
        {
            if (next != '\r')
                length = (10 * length) + next - '0';
        }
        return length;
    }

    private string ReadLine()
    {
        var line = new StringBuilder();
        for (var next = _connection.Read(1)[0]; next != '\n'; next = _connection.Read(1)[0])
        {
            if (next != '\r')
                line.Append((char)next);
        }
        return line.ToString();
    }
}
