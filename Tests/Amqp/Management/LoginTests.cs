using System.Net.Sockets;
using OrleansMq.Access;
using OrleansMq.Tests.Amqp.Queues;
using OrleansMq.Tests.Engine.Partitions;
using RabbitMQ.Client;
using RabbitMQ.Client.Exceptions;

namespace OrleansMq.Tests.Amqp.Management;

/// <summary>Clients that do not log in, or in vain.</summary>
public sealed class LoginTests : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private readonly string _directory = Directory.CreateTempSubdirectory("omq-login").FullName;

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Fact]
    public async Task Refused_logins_are_counted_and_delayed()
    {
        await using var server = await ManagedServer.StartAsync(_directory);
        var denials = server.Broker.Access.Meter.Denials;
        var began = TimeProvider.System.GetTimestamp();
        await server.DoAsync(401, "GET", "whoami", login: "guest:wrong");
        await server.DoAsync(401, "GET", "whoami", login: "nobody:guest");
        Assert.True(TimeProvider.System.GetElapsedTime(began) >= TimeSpan.FromMilliseconds(190));
        Assert.Equal(2, denials.FailedOver(SessionProtocol.Amqp));
        await server.DoAsync(401, "GET", "whoami", login: null);
        await server.DoAsync(200, "GET", "whoami");
        Assert.Equal(2, denials.FailedOver(SessionProtocol.Amqp));
        var refused = await Assert.ThrowsAsync<BrokerUnreachableException>(() => new ConnectionFactory
        {
            HostName = "127.0.0.1",
            Port = server.AmqpPort,
            Password = "wrong",
        }.Patient().CreateConnectionAsync());
        Assert.IsType<AuthenticationFailureException>(refused.InnerException);
        Assert.Equal(3, denials.FailedOver(SessionProtocol.Amqp));
        Assert.Contains(server.Log.Lines, static line => line.Contains("at 127.0.0.1 did not log in as 'guest'", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Connection_without_a_user_is_closed_and_one_with_a_user_stays()
    {
        var clock = new ManualClock();
        // Kestrel's own bound of the head of a request has this length, too, and another clock.
        await using var server = await ManagedServer.StartAsync(_directory,
            options => options with { LoginTime = TimeSpan.FromMinutes(2), TimeProvider = clock });
        using var silent = new TcpClient();
        await silent.ConnectAsync("127.0.0.1", server.Address.Port);
        using var user = new TcpClient();
        await user.ConnectAsync("127.0.0.1", server.Address.Port);
        await AskAsync(user);
        var closed = ReadAsync(silent);
        await clock.AdvanceUntilAsync(closed, TimeSpan.FromMinutes(10), TimeSpan.FromSeconds(10));
        Assert.Equal(0, await closed);
        await AskAsync(user);
    }

    private static async Task AskAsync(TcpClient client)
    {
        await client.GetStream().WriteAsync("GET /api/whoami HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\n\r\n"u8
            .ToArray());
        Assert.NotEqual(0, await ReadAsync(client));
    }

    private static async Task<int> ReadAsync(TcpClient client)
    {
        try
        {
            return await client.GetStream().ReadAsync(new byte[4096]).AsTask().WaitAsync(Patience);
        }
        catch (IOException)
        {
            return 0; // It was reset.
        }
    }
}
