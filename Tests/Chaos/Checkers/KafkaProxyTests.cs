using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using OrleansMq.Tests.Chaos.Transactions;

namespace OrleansMq.Tests.Chaos.Checkers;

/// <summary>The proxy that holds requests of Kafka's clients back.</summary>
public sealed class KafkaProxyTests : IAsyncLifetime
{
    private const short Held = 26;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private readonly TcpListener _broker = new(IPAddress.Loopback, 0);
    private readonly TaskCompletionSource _isHeld = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private KafkaProxy _proxy = null!;

    public Task InitializeAsync()
    {
        _broker.Start();
        _proxy = new KafkaProxy(((IPEndPoint)_broker.LocalEndpoint).Port, (key, version) =>
        {
            if (key != Held || version != 5)
                return TimeSpan.Zero;
            _isHeld.TrySetResult();
            return TimeSpan.FromMilliseconds(500);
        });
        return Task.CompletedTask;
    }

    public async Task DisposeAsync()
    {
        await _proxy.DisposeAsync();
        _broker.Dispose();
    }

    [Fact]
    public async Task Requests_and_answers_pass_in_order()
    {
        var (client, broker) = await ConnectAsync();
        using (client)
        using (broker)
        {
            byte[][] requests = [Frame(0, 9, 100_000), Frame(Held, 5, 10), Frame(Held, 4, 0)];
            foreach (var request in requests)
                await client.SendAsync(request);
            foreach (var request in requests)
                Assert.Equal(request, await ReceiveAsync(broker, request.Length));
            await broker.SendAsync("answer"u8.ToArray());
            Assert.Equal("answer"u8.ToArray(), await ReceiveAsync(client, 6));
        }
    }

    [Fact]
    public async Task Held_request_arrives_although_its_client_is_gone()
    {
        var (client, broker) = await ConnectAsync();
        var request = Frame(Held, 5, 10);
        await client.SendAsync(request);
        await _isHeld.Task.WaitAsync(Patience);
        client.LingerState = new LingerOption(true, 0);
        client.Dispose();
        using (broker)
        {
            Assert.Equal(request, await ReceiveAsync(broker, request.Length));
            Assert.True(await IsLostAsync(broker));
        }
    }

    [Fact]
    public async Task Client_of_a_broker_that_is_gone_loses_its_connection()
    {
        var (client, broker) = await ConnectAsync();
        broker.LingerState = new LingerOption(true, 0);
        broker.Dispose();
        using (client)
            Assert.True(await IsLostAsync(client));
    }

    private async Task<(Socket Client, Socket Broker)> ConnectAsync()
    {
        var client = new Socket(SocketType.Stream, ProtocolType.Tcp);
        await client.ConnectAsync(IPEndPoint.Parse(_proxy.Address));
        return (client, await _broker.AcceptSocketAsync().WaitAsync(Patience));
    }

    // By its end or by a reset.
    private static async Task<bool> IsLostAsync(Socket connection)
    {
        try
        {
            return await connection.ReceiveAsync(new byte[1]).WaitAsync(Patience) == 0;
        }
        catch (SocketException reset) when (reset.SocketErrorCode == SocketError.ConnectionReset)
        {
            return true;
        }
    }

    private static byte[] Frame(short key, short version, int bodyBytes)
    {
        var frame = new byte[8 + bodyBytes];
        Random.Shared.NextBytes(frame);
        BinaryPrimitives.WriteInt32BigEndian(frame, frame.Length - sizeof(int));
        BinaryPrimitives.WriteInt16BigEndian(frame.AsSpan(4), key);
        BinaryPrimitives.WriteInt16BigEndian(frame.AsSpan(6), version);
        return frame;
    }

    private static async Task<byte[]> ReceiveAsync(Socket from, int count)
    {
        var received = new byte[count];
        for (int read, sum = 0; sum < count; sum += read)
        {
            read = await from.ReceiveAsync(received.AsMemory(sum)).AsTask().WaitAsync(Patience);
            Assert.NotEqual(0, read);
        }
        return received;
    }
}
