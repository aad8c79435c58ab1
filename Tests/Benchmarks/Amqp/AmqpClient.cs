using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text;

namespace OrleansMq.Tests.Benchmarks.Amqp;

/// <summary>A connection to an AMQP 0-9-1 broker with one channel, of very low cost: it builds and reads what the benchmark needs. One
/// thread at a time.</summary>
internal sealed class AmqpClient : IDisposable
{
    private const int MethodFrame = 1, HeaderFrame = 2, BodyFrame = 3;
    private const byte FrameEnd = 0xCE;
    private const int FrameHeaderBytes = 7;
    private const int BufferBytes = 64 << 10;

    private const int ConnectionStart = (10 << 16) | 10, ConnectionTune = (10 << 16) | 30, ConnectionOpenOk = (10 << 16) | 41;
    private const int ChannelOpenOk = (20 << 16) | 11, ExchangeDeclareOk = (40 << 16) | 11;
    private const int QueueDeclareOk = (50 << 16) | 11, QueueBindOk = (50 << 16) | 21, BasicReturn = (60 << 16) | 50;

    private readonly Socket _socket;
    private readonly List<byte> _out = [];
    private byte[] _in;
    private int _from;
    private int _until;
    private int _payload; // where that of the frame being built begins in _out

    private AmqpClient(Socket socket, int bufferBytes) => (_socket, _in) = (socket, new byte[bufferBytes]);

    /// <summary>Whether the broker has closed it, or has sent what was not asked for.</summary>
    public bool IsClosed => _socket.Poll(0, SelectMode.SelectRead);

    /// <summary>Connects as guest to the virtual host <c>/</c>, and opens channel 1.</summary>
    /// <param name="endpoint">HOST:PORT.</param>
    /// <param name="from">The local address; null for any.</param>
    /// <param name="bufferBytes">The bytes that it reads at once.</param>
    public static AmqpClient Connect(string endpoint, IPAddress? from = null, int bufferBytes = BufferBytes)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        var client = new AmqpClient(socket, bufferBytes);
        try
        {
            if (from is not null)
                socket.Bind(new IPEndPoint(from, 0));
            socket.Connect(IPEndPoint.Parse(endpoint));
            client.Open();
            return client;
        }
        catch
        {
            client.Dispose();
            throw;
        }
    }

    /// <summary>Declares a durable exchange.</summary>
    public void DeclareExchange(string name, string type)
    {
        Begin(MethodFrame, 1, 40, 10);
        Short(0);
        Name(name);
        Name(type);
        _out.Add(0b10); // durable
        Table();
        End();
        Send();
        Expect(ExchangeDeclareOk);
    }

    /// <summary>Declares a durable queue and waits for the answer.</summary>
    /// <param name="name">The queue.</param>
    /// <param name="type">Its type, in <c>x-queue-type</c>.</param>
    public void DeclareQueue(string name, string type)
    {
        Begin(MethodFrame, 1, 50, 10);
        Short(0);
        Name(name);
        _out.Add(0b10); // durable
        Table("x-queue-type", type);
        End();
        Send();
        Expect(QueueDeclareOk);
    }

    /// <summary>Adds a bind to what is sent next.</summary>
    public void AddBind(string queue, string exchange, string key)
    {
        Begin(MethodFrame, 1, 50, 20);
        Short(0);
        Name(queue);
        Name(exchange);
        Name(key);
        _out.Add(0);
        Table();
        End();
    }

    /// <summary>Waits for the answer to a bind.</summary>
    public void ExpectBound() => Expect(QueueBindOk);

    /// <summary>Adds a transient message to what is sent next. One that no binding matches is dropped by the broker.</summary>
    /// <param name="exchange">The exchange.</param>
    /// <param name="key">The routing key.</param>
    /// <param name="body">The body.</param>
    /// <param name="isMandatory">Whether the broker returns it instead.</param>
    public void AddPublish(string exchange, string key, ReadOnlySpan<byte> body, bool isMandatory = false)
    {
        Begin(MethodFrame, 1, 60, 40);
        Short(0);
        Name(exchange);
        Name(key);
        _out.Add((byte)(isMandatory ? 0b1 : 0));
        End();
        Begin(HeaderFrame, 1, 60, 0);
        Long(body.Length);
        Short(0); // no properties
        End();
        BeginFrame(BodyFrame, 1);
        foreach (var octet in body)
            _out.Add(octet);
        End();
    }

    /// <summary>Sends a mandatory message that was added, and waits for it to come back.</summary>
    /// <exception cref="InvalidOperationException">A binding matches it.</exception>
    public void SendReturned(string exchange)
    {
        AddPassive(exchange);
        Send();
        Expect(BasicReturn);
        Expect(ExchangeDeclareOk);
    }

    /// <summary>The bytes that wait to be sent.</summary>
    public int Unsent => _out.Count;

    /// <summary>Sends what was added.</summary>
    public void Send()
    {
        var bytes = CollectionsMarshal.AsSpan(_out);
        while (!bytes.IsEmpty)
            bytes = bytes[_socket.Send(bytes)..];
        _out.Clear();
    }

    /// <summary>Waits until the broker has processed all that was sent: it answers in order.</summary>
    public void Sync(string exchange)
    {
        AddPassive(exchange);
        Send();
        Expect(ExchangeDeclareOk);
    }

    /// <inheritdoc/>
    public void Dispose() => _socket.Dispose();

    private void Open()
    {
        _socket.Send("AMQP\0\0\u0009\u0001"u8);
        Expect(ConnectionStart);
        Begin(MethodFrame, 0, 10, 11);
        Table();
        Name("PLAIN");
        LongString("\0guest\0guest");
        Name("en_US");
        End();
        Send();
        Expect(ConnectionTune);
        Begin(MethodFrame, 0, 10, 31);
        Short(2047);
        Int(131_072);
        Short(0); // no heartbeats
        End();
        Begin(MethodFrame, 0, 10, 40);
        Name("/");
        Name("");
        _out.Add(0);
        End();
        Send();
        Expect(ConnectionOpenOk);
        Begin(MethodFrame, 1, 20, 10);
        Name("");
        End();
        Send();
        Expect(ChannelOpenOk);
    }

    private void AddPassive(string exchange)
    {
        Begin(MethodFrame, 1, 40, 10);
        Short(0);
        Name(exchange);
        Name("topic");
        _out.Add(0b1); // passive
        Table();
        End();
    }

    private void Expect(int method)
    {
        while (true)
        {
            Fill(FrameHeaderBytes);
            var type = _in[_from];
            var bytes = BinaryPrimitives.ReadInt32BigEndian(_in.AsSpan(_from + 3));
            Fill(FrameHeaderBytes + bytes + 1);
            var payload = _in.AsSpan(_from + FrameHeaderBytes, bytes);
            var received = type == MethodFrame ? BinaryPrimitives.ReadInt32BigEndian(payload) : 0;
            var text = received == method || type != MethodFrame ? "" : Encoding.UTF8.GetString(payload[4..]);
            _from += FrameHeaderBytes + bytes + 1;
            if (received == method)
                return;
            if (type == MethodFrame)
                throw new InvalidOperationException($"The broker sent method {received >> 16}.{received & 0xFFFF} instead of "
                    + $"{method >> 16}.{method & 0xFFFF}: {text}");
        }
    }

    private void Fill(int bytes)
    {
        if (_from + bytes > _in.Length)
        {
            var into = bytes > _in.Length ? new byte[bytes] : _in;
            _in.AsSpan(_from, _until - _from).CopyTo(into);
            (_in, _from, _until) = (into, 0, _until - _from);
        }
        while (_until - _from < bytes)
        {
            var read = _socket.Receive(_in, _until, _in.Length - _until, SocketFlags.None);
            _until += read > 0 ? read : throw new InvalidOperationException("The broker has closed the connection.");
        }
    }

    private void BeginFrame(int type, ushort channel)
    {
        _out.Add((byte)type);
        Short(channel);
        Int(0);
        _payload = _out.Count;
    }

    private void Begin(int type, ushort channel, ushort first, ushort second)
    {
        BeginFrame(type, channel);
        Short(first);
        Short(second);
    }

    private void End()
    {
        var bytes = CollectionsMarshal.AsSpan(_out);
        BinaryPrimitives.WriteInt32BigEndian(bytes[(_payload - 4)..], _out.Count - _payload);
        _out.Add(FrameEnd);
    }

    private void Short(ushort value)
    {
        _out.Add((byte)(value >> 8));
        _out.Add((byte)value);
    }

    private void Int(int value)
    {
        Short((ushort)(value >> 16));
        Short((ushort)value);
    }

    private void Long(long value)
    {
        Int((int)(value >> 32));
        Int((int)value);
    }

    private void Name(string name)
    {
        _out.Add((byte)Encoding.UTF8.GetByteCount(name));
        _out.AddRange(Encoding.UTF8.GetBytes(name));
    }

    private void LongString(string text)
    {
        Int(Encoding.UTF8.GetByteCount(text));
        _out.AddRange(Encoding.UTF8.GetBytes(text));
    }

    private void Table(string? name = null, string? value = null)
    {
        var start = _out.Count;
        Int(0);
        if (name is not null)
        {
            Name(name);
            _out.Add((byte)'S');
            LongString(value!);
        }
        BinaryPrimitives.WriteInt32BigEndian(CollectionsMarshal.AsSpan(_out)[start..],
            _out.Count - start - 4);
    }
}
