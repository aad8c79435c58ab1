using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;

namespace OrleansMq.Tests.Benchmarks.Amqp;

/// <summary>A connection to an AMQP 0-9-1 broker with one channel, of very low cost: it builds and reads what the benchmark needs. One
/// thread at a time.</summary>
internal sealed class AmqpClient : IDisposable
{
    private const int BufferBytes = 64 << 10;
    private const int MostFrameBytes = 131_072;
    private const ushort MostChannels = 2047;

    private const int ConnectionStart = (10 << 16) | 10, ConnectionTune = (10 << 16) | 30, ConnectionOpenOk = (10 << 16) | 41;
    private const int ChannelOpenOk = (20 << 16) | 11, ExchangeDeclareOk = (40 << 16) | 11;
    private const int QueueDeclareOk = (50 << 16) | 11, QueueBindOk = (50 << 16) | 21, BasicReturn = (60 << 16) | 50;
    private const int ConfirmSelectOk = (85 << 16) | 11, BasicQosOk = (60 << 16) | 11, BasicConsumeOk = (60 << 16) | 21;

    private readonly Socket _socket;
    private readonly AmqpFrameWriter _out = new();
    private readonly AmqpFrameReader _in;

    private AmqpClient(Socket socket, int bufferBytes) => (_socket, _in) = (socket, new AmqpFrameReader(bufferBytes));

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
        _out.Begin(AmqpFrame.MethodType, 1, 40, 10);
        _out.Short(0);
        _out.Name(name);
        _out.Name(type);
        _out.Octet(0b10); // durable
        _out.Table();
        _out.End();
        Send();
        Expect(ExchangeDeclareOk);
    }

    /// <summary>Declares a durable queue and waits for the answer.</summary>
    /// <param name="name">The queue.</param>
    /// <param name="type">Its type, in <c>x-queue-type</c>.</param>
    public void DeclareQueue(string name, string type)
    {
        _out.Begin(AmqpFrame.MethodType, 1, 50, 10);
        _out.Short(0);
        _out.Name(name);
        _out.Octet(0b10); // durable
        _out.Table("x-queue-type", type);
        _out.End();
        Send();
        Expect(QueueDeclareOk);
    }

    /// <summary>Adds a bind to what is sent next.</summary>
    public void AddBind(string queue, string exchange, string key)
    {
        _out.Begin(AmqpFrame.MethodType, 1, 50, 20);
        _out.Short(0);
        _out.Name(queue);
        _out.Name(exchange);
        _out.Name(key);
        _out.Octet(0);
        _out.Table();
        _out.End();
    }

    /// <summary>Waits for the answer to a bind.</summary>
    public void ExpectBound() => Expect(QueueBindOk);

    /// <summary>Adds a transient message to what is sent next. One that no binding matches is dropped by the broker.</summary>
    /// <param name="exchange">The exchange.</param>
    /// <param name="key">The routing key.</param>
    /// <param name="body">The body.</param>
    /// <param name="isMandatory">Whether the broker returns it instead.</param>
    public void AddPublish(string exchange, string key, ReadOnlySpan<byte> body, bool isMandatory = false) =>
        _out.AddPublish(exchange, key, body, isMandatory);

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
    public int Unsent => _out.Bytes.Length;

    /// <summary>Sends what was added.</summary>
    public void Send()
    {
        Send(_out.Bytes);
        _out.Clear();
    }

    /// <summary>Sends encoded frames.</summary>
    public void Send(ReadOnlySpan<byte> frames)
    {
        while (!frames.IsEmpty)
            frames = frames[_socket.Send(frames)..];
    }

    /// <summary>Lets the broker confirm the messages of the channel.</summary>
    public void Confirm()
    {
        _out.Begin(AmqpFrame.MethodType, 1, 85, 10);
        _out.Octet(0);
        _out.End();
        Send();
        Expect(ConfirmSelectOk);
    }

    /// <summary>Consumes a queue, with an acknowledgement for each message.</summary>
    /// <param name="queue">The queue.</param>
    /// <param name="prefetch">The most unacknowledged messages.</param>
    public void Consume(string queue, ushort prefetch)
    {
        _out.Begin(AmqpFrame.MethodType, 1, 60, 10);
        _out.Int(0); // no limit in bytes
        _out.Short(prefetch);
        _out.Octet(0);
        _out.End();
        Send();
        Expect(BasicQosOk);
        _out.Begin(AmqpFrame.MethodType, 1, 60, 20);
        _out.Short(0);
        _out.Name(queue);
        _out.Name("");
        _out.Octet(0);
        _out.Table();
        _out.End();
        Send();
        Expect(BasicConsumeOk);
    }

    /// <summary>Waits for frames, and acknowledges the messages that are complete with them; all acknowledgements go out in one
    /// write.</summary>
    /// <param name="deliveries">The reader of the channel's deliveries, the same one in each call.</param>
    /// <returns>The number of messages; 0 if none is complete yet.</returns>
    /// <exception cref="InvalidOperationException">The broker sent another method, or has closed the connection.</exception>
    public int Acknowledge(DeliveryReader deliveries)
    {
        var acknowledged = 0;
        var frame = ReadFrame();
        do
        {
            if (!deliveries.Completes(frame))
                continue;
            _out.AddAck(deliveries.Tag);
            acknowledged++;
        }
        while (TryReadFrame(out frame));
        Send();
        return acknowledged;
    }

    /// <summary>Reads a frame, and waits for it. It is valid until the next call.</summary>
    /// <exception cref="InvalidOperationException">The broker has closed the connection.</exception>
    public AmqpFrame ReadFrame()
    {
        AmqpFrame frame;
        while (!_in.TryRead(out frame))
        {
            var read = _socket.Receive(_in.Free());
            _in.Received(read > 0 ? read : throw new InvalidOperationException("The broker has closed the connection."));
        }
        return frame;
    }

    /// <summary>Reads a frame that is already received. It is valid until the next call.</summary>
    public bool TryReadFrame(out AmqpFrame frame) => _in.TryRead(out frame);

    /// <summary>Ends the connection while another thread uses it: the reads and writes of that thread fail.</summary>
    public void Shutdown()
    {
        try
        {
            _socket.Shutdown(SocketShutdown.Both);
        }
        catch (SocketException)
        {
            // The broker has already ended it.
        }
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
        _out.Begin(AmqpFrame.MethodType, 0, 10, 11);
        _out.Table();
        _out.Name("PLAIN");
        _out.LongString("\0guest\0guest");
        _out.Name("en_US");
        _out.End();
        Send();
        var tune = Expect(ConnectionTune).Payload;
        _out.Begin(AmqpFrame.MethodType, 0, 10, 31);
        _out.Short((ushort)Lower(BinaryPrimitives.ReadUInt16BigEndian(tune[4..]), MostChannels));
        _out.Int((int)Lower(BinaryPrimitives.ReadUInt32BigEndian(tune[6..]), MostFrameBytes));
        _out.Short(0); // no heartbeats
        _out.End();
        _out.Begin(AmqpFrame.MethodType, 0, 10, 40);
        _out.Name("/");
        _out.Name("");
        _out.Octet(0);
        _out.End();
        Send();
        Expect(ConnectionOpenOk);
        _out.Begin(AmqpFrame.MethodType, 1, 20, 10);
        _out.Name("");
        _out.End();
        Send();
        Expect(ChannelOpenOk);
    }

    private void AddPassive(string exchange)
    {
        _out.Begin(AmqpFrame.MethodType, 1, 40, 10);
        _out.Short(0);
        _out.Name(exchange);
        _out.Name("topic");
        _out.Octet(0b1); // passive
        _out.Table();
        _out.End();
    }

    // The broker's 0 is no limit.
    private static uint Lower(uint limit, uint most) => limit == 0 ? most : Math.Min(limit, most);

    private AmqpFrame Expect(int method)
    {
        while (true)
        {
            var frame = ReadFrame();
            if (frame.Method == method)
                return frame;
            if (frame.Type == AmqpFrame.MethodType)
                throw new InvalidOperationException($"The broker sent {frame.Describe()}, not method {method >> 16}.{method & 0xFFFF}");
        }
    }
}
