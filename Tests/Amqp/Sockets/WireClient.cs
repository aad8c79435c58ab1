using System.Net;
using System.Net.Sockets;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Gateways.Amqp.Wire.Methods;
using OrleansMq.Records;

namespace OrleansMq.Tests.Amqp.Sockets;

/// <summary>A client that sends and receives frames.</summary>
internal sealed class WireClient : IAsyncDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private readonly Socket _socket = new(SocketType.Stream, ProtocolType.Tcp);
    private readonly CancellationTokenSource _patience = new(Patience);

    public static async Task<WireClient> ConnectAsync(IPEndPoint endPoint)
    {
        var client = new WireClient();
        await client._socket.ConnectAsync(endPoint, client._patience.Token);
        return client;
    }

    /// <summary>Connects, and opens the virtual host.</summary>
    /// <param name="endPoint">The server.</param>
    /// <param name="heartbeat">In seconds; 0 for none.</param>
    /// <param name="capabilities">What the client says that it can.</param>
    public static async Task<WireClient> OpenAsync(IPEndPoint endPoint, ushort heartbeat = 0, params string[] capabilities)
    {
        var client = await LogInAsync(endPoint, heartbeat, capabilities);
        await client.SendAsync(0, new ConnectionOpen("/"));
        Assert.IsType<ConnectionOpenOk>(await client.ReceiveMethodAsync());
        return client;
    }

    /// <summary>Connects, and logs in. It may open a virtual host next.</summary>
    /// <param name="endPoint">The server.</param>
    /// <param name="heartbeat">In seconds; 0 for none.</param>
    /// <param name="capabilities">What the client says that it can.</param>
    public static async Task<WireClient> LogInAsync(IPEndPoint endPoint, ushort heartbeat = 0, params string[] capabilities)
    {
        var client = await ConnectAsync(endPoint);
        await client.SendAsync(ProtocolHeader.Amqp091.ToArray());
        Assert.IsType<ConnectionStart>(await client.ReceiveMethodAsync());
        await client.SendAsync(0, new ConnectionStartOk(PropertiesOf(capabilities), "PLAIN", LongString.Of("\0guest\0guest"), "en_US"));
        Assert.IsType<ConnectionTune>(await client.ReceiveMethodAsync());
        await client.SendAsync(0, new ConnectionTuneOk(2047, 131072, heartbeat));
        return client;
    }

    public async Task SendAsync(ReadOnlyMemory<byte> bytes)
    {
        while (!bytes.IsEmpty)
            bytes = bytes[await _socket.SendAsync(bytes, _patience.Token)..];
    }

    public async Task SendAsync<T>(ushort channel, T method)
        where T : IMethod
    {
        using var output = new PooledBuffer();
        Frames.WriteMethod(output, channel, method);
        await SendAsync(output.WrittenMemory);
    }

    public async Task PublishAsync(ushort channel, byte[] body, ContentProperties? properties = null, string queue = "q")
    {
        using var output = new PooledBuffer();
        Frames.WriteContent(output, channel, new BasicPublish("", queue, false, false),
            (properties ?? ContentProperties.None).Bytes.Span, body, 131072);
        await SendAsync(output.WrittenMemory);
    }

    /// <summary>Receives a frame; null where the server has closed the connection.</summary>
    public async Task<(FrameHead Head, byte[] Payload)?> ReceiveAsync()
    {
        var bytes = new byte[FrameHead.Bytes];
        if (!await FillAsync(bytes))
            return null;
        var head = FrameHead.Read(bytes);
        var payload = new byte[head.Size + 1];
        Assert.True(await FillAsync(payload));
        Assert.Equal(Frames.End, payload[^1]);
        return (head, payload[..^1]);
    }

    public async Task<IMethod?> ReceiveMethodAsync()
    {
        if (await ReceiveAsync() is not { } frame)
            return null;
        Assert.Equal(FrameType.Method, frame.Head.Type);
        return Frames.ReadMethod(frame.Payload);
    }

    /// <summary>Receives the body of a content of one or more frames, after its method.</summary>
    public async Task<byte[]> ReceiveBodyAsync()
    {
        var header = await ReceiveAsync();
        Assert.Equal(FrameType.Header, header!.Value.Head.Type);
        var body = new MemoryStream();
        while ((ulong)body.Length < ContentHead.Read(header.Value.Payload).BodyBytes)
            body.Write((await ReceiveAsync())!.Value.Payload);
        return body.ToArray();
    }

    public async Task<byte[]> ReceiveRawAsync(int count)
    {
        var bytes = new byte[count];
        Assert.True(await FillAsync(bytes));
        return bytes;
    }

    /// <summary>Ends as a client whose process dies.</summary>
    public void Reset()
    {
        _socket.LingerState = new LingerOption(enable: true, seconds: 0);
        _socket.Close();
        _patience.Dispose();
    }

    public ValueTask DisposeAsync()
    {
        _socket.Dispose();
        _patience.Dispose();
        return default;
    }

    private static FieldTable PropertiesOf(string[] capabilities) => FieldTable.Of(("capabilities", FieldValue.Of(FieldTable.Of(
        [.. capabilities.Select(static name => (name, FieldValue.Of(true)))]))));

    private async Task<bool> FillAsync(Memory<byte> into)
    {
        while (!into.IsEmpty)
        {
            var count = await _socket.ReceiveAsync(into, _patience.Token);
            if (count == 0)
                return false;
            into = into[count..];
        }
        return true;
    }
}
