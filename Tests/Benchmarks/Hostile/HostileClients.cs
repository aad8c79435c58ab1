using System.Net;
using System.Net.Sockets;
using OrleansMq.Tests.Benchmarks.Peers.Load;

namespace OrleansMq.Tests.Benchmarks.Hostile;

/// <summary>Hostile clients of one kind, until they are disposed.</summary>
internal sealed class HostileClients : IDisposable
{
    // Linux has some 28,000 outgoing ports for an address.
    private const int ConnectionsPerAddress = 5_000;
    // A request of 100 MB is announced, and a part of it arrives.
    private static readonly byte[] HundredMegabytes = [6, 0x40, 0, 0];

    private readonly List<Socket> _open = [];
    private readonly List<Thread> _threads = [];
    private readonly IPEndPoint _address;
    private volatile bool _isStopped;
    private long _attempts;

    /// <param name="endpoint">HOST:PORT of the broker.</param>
    public HostileClients(string endpoint) => _address = IPEndPoint.Parse(endpoint);

    /// <summary>The connections that are open.</summary>
    public int Connections => _open.Count;

    /// <summary>The connections that were opened and broken off.</summary>
    public long Attempts => Volatile.Read(ref _attempts);

    /// <summary>Opens connections that are silent after their first bytes.</summary>
    public void Open(int count, byte[] first)
    {
        for (var number = 0; number < count; number++)
        {
            var socket = Connect(_open.Count);
            _open.Add(socket);
            if (first.Length > 0)
                socket.Send(first);
        }
    }

    /// <summary>Connections that announce a large request, and send a part of it.</summary>
    /// <param name="count">The number of connections.</param>
    /// <param name="bytes">The bytes that each sends.</param>
    public void OpenHalfFrames(int count, int bytes)
    {
        Open(count, []);
        var part = new byte[bytes];
        // Key and version of a produce request.
        part[3] = 9;
        foreach (var socket in _open)
        {
            socket.Send(HundredMegabytes);
            // The broker stops reading where its memory for requests is used up.
            socket.Blocking = false;
            for (var sent = 0; sent < bytes;)
            {
                var now = socket.Send(part.AsSpan(sent), SocketFlags.None, out var fault);
                if (fault != SocketError.Success)
                    break;
                sent += now;
            }
        }
    }

    /// <summary>Connections that ask for all that the broker has, some times, and receive nothing, or a few bytes now and then.</summary>
    /// <param name="count">The number of connections.</param>
    /// <param name="fetch">The request, with its length.</param>
    /// <param name="isSlow">Whether they receive a little.</param>
    public void OpenReaders(int count, byte[] fetch, bool isSlow)
    {
        const int requests = 10;
        Open(count, [.. Enumerable.Repeat(fetch, requests).SelectMany(static bytes => bytes)]);
        if (!isSlow)
            return;
        Start(() =>
        {
            var buffer = new byte[1_000];
            while (!_isStopped)
            {
                foreach (var socket in _open)
                {
                    if (socket.Poll(0, SelectMode.SelectRead))
                        socket.Receive(buffer, SocketFlags.None, out _);
                }
                Thread.Sleep(100);
            }
        });
    }

    /// <summary>Opens connections, sends a part of a request, and breaks off, all the time.</summary>
    /// <param name="rate">The connections a second.</param>
    public void Churn(int rate) => Start(() =>
    {
        var began = System.Diagnostics.Stopwatch.GetTimestamp();
        while (!_isStopped)
        {
            var due = System.Diagnostics.Stopwatch.GetElapsedTime(began).TotalSeconds * rate;
            if (_attempts >= due)
            {
                Thread.Sleep(1);
                continue;
            }
            using var socket = Connect((int)(_attempts % 50_000));
            socket.Send(HundredMegabytes);
            socket.Close(0);
            Interlocked.Increment(ref _attempts);
        }
    });

    public void Dispose()
    {
        _isStopped = true;
        _threads.ForEach(static thread => thread.Join());
        _open.ForEach(static socket => socket.Dispose());
    }

    private void Start(Action run)
    {
        var thread = new Thread(() => run()) { IsBackground = true };
        _threads.Add(thread);
        thread.Start();
    }

    private Socket Connect(int number)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            socket.Bind(new IPEndPoint(new IPAddress([127, 0, 2, (byte)(1 + (number / ConnectionsPerAddress))]), 0));
            socket.Connect(_address);
            return socket;
        }
        catch (SocketException refused)
        {
            socket.Dispose();
            throw new LoadFailedException($"{_address}: {refused.Message}.");
        }
    }
}
