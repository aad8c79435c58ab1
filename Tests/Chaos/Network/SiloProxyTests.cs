using System.Net;
using System.Net.Sockets;

namespace OrleansMq.Tests.Chaos.Network;

/// <summary>The proxy forwards traffic between silos unchanged unless a fault is injected.</summary>
public sealed class SiloProxyTests : IAsyncLifetime
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);

    private readonly CancellationTokenSource _deadline = new(Deadline);
    private readonly Link _link = new();
    private readonly List<int?> _owners = [];
    private TcpListener? _silo;
    private SiloProxy? _proxy;
    private IPEndPoint _advertised = new(IPAddress.Loopback, 0);

    /// <summary>A silo behind the proxy.</summary>
    private TcpListener Silo
    {
        get
        {
            Skip.If(_silo is null, "needs Linux, where all of 127.0.0.0/8 is this machine");
            return _silo;
        }
    }

    public Task InitializeAsync()
    {
        if (!OperatingSystem.IsLinux())
            return Task.CompletedTask;
        _silo = new TcpListener(IPAddress.Parse("127.0.2.77"), 0);
        _silo.Start();
        var actual = (IPEndPoint)_silo.LocalEndpoint;
        _advertised = new IPEndPoint(IPAddress.Parse("127.0.1.77"), actual.Port);
        _proxy = new SiloProxy(_advertised, actual, (from, to) =>
        {
            _owners.Add(SocketOwner.Find(from, to, [1, Environment.ProcessId]));
            return _link;
        });
        return Task.CompletedTask;
    }

    public async Task DisposeAsync()
    {
        if (_proxy is not null)
            await _proxy.DisposeAsync();
        _silo?.Dispose();
        _deadline.Dispose();
    }

    [SkippableFact]
    public async Task Proxy_forwards_bytes_and_identifies_the_connecting_process()
    {
        var silo = Silo;
        using var client = await ConnectAsync();
        using var server = await silo.AcceptSocketAsync(_deadline.Token);
        await client.SendAsync("there"u8.ToArray(), _deadline.Token);
        Assert.Equal("there"u8.ToArray(), await ReceiveAsync(server));
        await server.SendAsync("back"u8.ToArray(), _deadline.Token);
        Assert.Equal("back"u8.ToArray(), await ReceiveAsync(client));
        Assert.Equal([Environment.ProcessId], _owners);
    }

    [SkippableFact]
    public async Task Bytes_sent_into_a_cut_link_arrive_after_it_heals()
    {
        var silo = Silo;
        using var client = await ConnectAsync();
        using var server = await silo.AcceptSocketAsync(_deadline.Token);
        _link.Cut();
        await client.SendAsync("late"u8.ToArray(), _deadline.Token);
        var received = ReceiveAsync(server);
        Assert.False(received.IsCompleted);
        _link.Heal();
        Assert.Equal("late"u8.ToArray(), await received);
    }

    [SkippableFact]
    public async Task Reset_breaks_both_sides_and_new_connections_succeed()
    {
        var silo = Silo;
        using var client = await ConnectAsync();
        using var server = await silo.AcceptSocketAsync(_deadline.Token);
        _link.ResetConnections();
        Assert.True(await IsBrokenAsync(server));
        Assert.True(await IsBrokenAsync(client));
        using var next = await ConnectAsync();
        using var accepted = await silo.AcceptSocketAsync(_deadline.Token);
        await next.SendAsync("again"u8.ToArray(), _deadline.Token);
        Assert.Equal("again"u8.ToArray(), await ReceiveAsync(accepted));
    }

    [SkippableFact]
    public async Task Proxy_refuses_connections_while_the_silo_does()
    {
        var silo = Silo;
        using var client = await ConnectAsync();
        silo.Stop();
        while (await TryConnectAsync() is { } accepted)
        {
            accepted.Dispose();
            Assert.False(_deadline.IsCancellationRequested);
        }
    }

    /// <summary>Connects once the proxy has seen the silo listen.</summary>
    private async Task<Socket> ConnectAsync()
    {
        while (true)
        {
            if (await TryConnectAsync() is { } socket)
                return socket;
            await Task.Delay(1, _deadline.Token);
        }
    }

    private async Task<Socket?> TryConnectAsync()
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            await socket.ConnectAsync(_advertised, _deadline.Token);
            return socket;
        }
        catch (SocketException)
        {
            socket.Dispose();
            return null;
        }
    }

    private async Task<byte[]> ReceiveAsync(Socket socket)
    {
        var bytes = new byte[100];
        return bytes[..await socket.ReceiveAsync(bytes, _deadline.Token)];
    }

    private async Task<bool> IsBrokenAsync(Socket socket)
    {
        try
        {
            return await socket.ReceiveAsync(new byte[1], _deadline.Token) == 0;
        }
        catch (SocketException)
        {
            return true;
        }
    }
}
