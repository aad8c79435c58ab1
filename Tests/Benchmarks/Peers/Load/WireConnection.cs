using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;
using System.Text;

namespace OrleansMq.Tests.Benchmarks.Peers.Load;

/// <summary>A connection to a broker with blocking calls, the cheapest form where a thread serves one connection. Reads go through one
/// buffer that stays in the processor's cache, however long an answer is. One thread may send while another receives.</summary>
internal sealed class WireConnection : IDisposable
{
    private readonly Socket _socket;
    private readonly SecuredSocket? _secured;
    private readonly byte[] _buffer;
    private int _start;
    private int _end;

    private WireConnection(Socket socket, SecuredSocket? secured, int bufferBytes)
    {
        _socket = socket;
        _secured = secured;
        _buffer = new byte[bufferBytes];
    }

    /// <summary>Connects.</summary>
    /// <param name="endpoint">HOST:PORT.</param>
    /// <param name="bufferBytes">The size of the read buffer.</param>
    /// <param name="from">The local address; by default the system's choice.</param>
    /// <param name="authorities">The trusted authorities of the broker's certificate; null: no TLS.</param>
    /// <exception cref="LoadFailedException">The connection is refused, or TLS fails.</exception>
    public static WireConnection Open(string endpoint, int bufferBytes = 16 << 10, IPAddress? from = null,
        X509Certificate2Collection? authorities = null)
    {
        var colon = endpoint.LastIndexOf(':');
        if (colon < 0 || !int.TryParse(endpoint.AsSpan(colon + 1), out var port))
            throw new LoadFailedException($"'{endpoint}' is not HOST:PORT.");
        var address = IPAddress.TryParse(endpoint.AsSpan(0, colon), out var ip)
            ? ip : Dns.GetHostAddresses(endpoint[..colon], AddressFamily.InterNetwork)[0];
        var socket = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            if (from is not null)
                socket.Bind(new IPEndPoint(from, 0));
            socket.Connect(address, port);
        }
        catch (SocketException refused)
        {
            socket.Dispose();
            throw new LoadFailedException($"{endpoint}: {refused.Message}. Is the broker running there?");
        }
        return new WireConnection(socket,
            authorities is null ? null
                : SecuredSocket.Open(socket, endpoint, ip?.ToString() ?? endpoint[..colon], authorities, bufferBytes),
            bufferBytes);
    }

    /// <summary>The socket, to wait for several connections.</summary>
    public Socket Socket => _socket;

    /// <summary>Whether received bytes are still unread. With TLS more than these may have arrived.</summary>
    public bool HasBuffered => _end > _start;

    /// <summary>Whether the connection has TLS.</summary>
    public bool HasTls => _secured is not null;

    public void Dispose()
    {
        _socket.Dispose();
        _secured?.Dispose();
    }

    public void Send(ReadOnlySpan<byte> request)
    {
        while (request.Length > 0)
            request = request[(_secured is null ? _socket.Send(request) : _secured.Send(request))..];
    }

    /// <summary>Sends a request and advances to the body of its answer.</summary>
    public void Ask(byte[] request)
    {
        Send(request);
        ReadHeader();
    }

    /// <summary>Sends a request and skips its answer.</summary>
    public void AskAndForget(byte[] request)
    {
        Send(request);
        Skip(ReadInt32());
    }

    /// <summary>Whether the broker closed the connection without further bytes.</summary>
    public bool IsClosed => _socket.Poll(0, SelectMode.SelectRead) && _socket.Available == 0;

    /// <summary>Reads an answer's length and correlation id.</summary>
    /// <returns>The correlation id.</returns>
    public int ReadHeader()
    {
        ReadInt32();
        return ReadInt32();
    }

    public short ReadInt16() => BinaryPrimitives.ReadInt16BigEndian(Read(2));

    public int ReadInt32() => BinaryPrimitives.ReadInt32BigEndian(Read(4));

    public long ReadInt64() => BinaryPrimitives.ReadInt64BigEndian(Read(8));

    public string? ReadString()
    {
        var length = ReadInt16();
        return length < 0 ? null : Encoding.UTF8.GetString(Read(length));
    }

    /// <summary>Returns the next bytes if they fit into the buffer; valid until the next call.</summary>
    public ReadOnlySpan<byte> Read(int count)
    {
        while (_end - _start < count)
            Fill();
        _start += count;
        return _buffer.AsSpan(_start - count, count);
    }

    /// <summary>Skips bytes, possibly more than the buffer holds.</summary>
    public void Skip(int count)
    {
        while (true)
        {
            var now = Math.Min(count, _end - _start);
            _start += now;
            count -= now;
            if (count == 0)
                return;
            Fill();
        }
    }

    /// <summary>Skips a string.</summary>
    public void SkipString() => Skip(Math.Max((int)ReadInt16(), 0));

    /// <summary>Reads the length of a compact array, string or field; 0 for null.</summary>
    public int ReadCompactLength() => Math.Max(ReadUnsigned() - 1, 0);

    /// <summary>Skips tagged fields.</summary>
    public void SkipTags()
    {
        for (var left = ReadUnsigned(); left > 0; left--)
        {
            ReadUnsigned(); // its number
            Skip(ReadUnsigned());
        }
    }

    private int ReadUnsigned()
    {
        for (var (value, shift) = (0, 0); ; shift += 7)
        {
            var next = Read(1)[0];
            value |= (next & 0x7f) << shift;
            if (next < 0x80)
                return value;
        }
    }

    private void Fill()
    {
        if (_start == _end)
        {
            (_start, _end) = (0, 0);
        }
        else if (_start > 0)
        {
            _buffer.AsSpan(_start, _end - _start).CopyTo(_buffer);
            (_start, _end) = (0, _end - _start);
        }
        var free = _buffer.AsSpan(_end);
        var received = _secured is null ? _socket.Receive(free) : _secured.Receive(free);
        if (received == 0)
            throw new LoadFailedException("The broker closed the connection: see its log.");
        _end += received;
    }
}
