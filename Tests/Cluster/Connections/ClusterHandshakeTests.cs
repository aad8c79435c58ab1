using System.IO.Pipelines;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using OrleansMq.Connections;
using OrleansMq.Tests.Shared;
using RecordedLines = OrleansMq.Tests.Client.RecordedLog;

namespace OrleansMq.Tests.Cluster.Connections;

/// <summary>Handshakes at the ports of a silo, over pipes: which certificates open which port, how many are in progress, and connections
/// that break.</summary>
public sealed class ClusterHandshakeTests : IDisposable
{
    private static readonly IPAddress Address = IPAddress.Parse("10.0.0.1");

    private readonly TestCertificateFiles _files = new();
    private readonly RecordedLines _lines = new();
    private readonly ServiceProvider _services = new ServiceCollection().BuildServiceProvider();

    public void Dispose()
    {
        _services.Dispose();
        _files.Dispose();
    }

    /// <summary>Also where another authority has the same name, so that the project judges, and not .NET alone.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Certificate_for_clients_alone_opens_the_gateway_port_and_not_the_silo_port(bool hasTwin)
    {
        using var twin = new TestAuthority();
        var authorities = _files.Write("authorities.pem", hasTwin ? twin.Pem + "\n" + _files.Authority.Pem : _files.Authority.Pem);
        using var silo = Load(_files.Authority.IssueMember(), "silo", authorities);
        using var member = Load(_files.Authority.IssueMember(), "member", authorities);
        using var any = Load(_files.Authority.IssueForAllUses(), "any", authorities);
        using var client = Load(_files.Authority.IssueClient("CN=client"), "client", authorities);
        foreach (var (one, opensSilos) in new[] { (member, true), (any, true), (client, false) })
        {
            Assert.Equal(opensSilos, await IsAcceptedAsync(silo.Accept, one));
            Assert.True(await IsAcceptedAsync(silo.AcceptClients, one));
        }
        var refused = Assert.Single(_lines.At(LogLevel.Warning));
        // Of two authorities of a name .NET may have tried the other, whose status it then tells.
        Assert.Contains(hasTwin ? "'CN=client' is not trusted" : "'CN=client' is not trusted: NotValidForUsage", refused,
            StringComparison.Ordinal);
        Assert.Contains("a silo's is for servers and for clients", refused, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Each_port_tells_of_its_own_refusals()
    {
        using var other = new TestAuthority();
        using var silo = Load(_files.Authority.IssueMember(), "silo");
        using var stranger = Load(other.IssueClient("CN=stranger"), "stranger");
        for (var count = 0; count < 2; count++)
        {
            Assert.False(await IsAcceptedAsync(silo.Accept, stranger));
            Assert.False(await IsAcceptedAsync(silo.AcceptClients, stranger));
        }
        Assert.Equal(2, _lines.At(LogLevel.Warning).Count(static line => line.Contains("'CN=stranger'", StringComparison.Ordinal)));
    }

    [Fact]
    public async Task Connection_beyond_the_bound_of_handshakes_is_closed_and_told_of()
    {
        using var silo = Load(_files.Authority.IssueMember(), "silo", maxHandshakes: 0);
        foreach (var accept in new Action<IConnectionBuilder>[] { silo.Accept, silo.AcceptClients })
        {
            var (connection, _) = Pair();
            Assert.False(await RunAsync(accept, connection, Task.CompletedTask));
            Assert.True(connection.IsAborted);
        }
        Assert.Equal(["silo", "gateway"], _lines.At(LogLevel.Warning).Select(static line => line.Split(' ')[1]));
    }

    [Fact]
    public async Task Place_is_given_back_after_each_handshake_and_no_client_takes_a_silos()
    {
        using var silo = Load(_files.Authority.IssueMember(), "silo", maxHandshakes: 1);
        using var member = Load(_files.Authority.IssueMember(), "member");
        using var stranger = Load(_files.Authority.IssueClient("CN=client"), "client");
        Assert.False(await IsAcceptedAsync(silo.Accept, stranger));
        Assert.True(await IsAcceptedAsync(silo.Accept, member));
        // It says nothing.
        var (waiting, other) = Pair();
        var handshake = RunAsync(silo.AcceptClients, waiting, Task.CompletedTask);
        Assert.True(await IsAcceptedAsync(silo.Accept, member));
        await other.Transport.Output.CompleteAsync();
        Assert.False(await handshake);
        Assert.True(await IsAcceptedAsync(silo.AcceptClients, member));
    }

    [Theory]
    [InlineData(typeof(SocketException))]
    [InlineData(typeof(InvalidOperationException))]
    [InlineData(typeof(IOException))]
    public async Task Connection_that_breaks_in_its_handshake_ends_without_a_warning(Type fault)
    {
        using var silo = Load(_files.Authority.IssueMember(), "silo");
        foreach (var begin in new Action<IConnectionBuilder>[] { silo.Accept, silo.AcceptClients, silo.Connect })
        {
            var (connection, other) = Pair();
            await other.Transport.Output.CompleteAsync((Exception)Activator.CreateInstance(fault)!);
            Assert.False(await RunAsync(begin, connection, Task.CompletedTask));
            Assert.True(connection.IsAborted);
        }
        Assert.Empty(_lines.At(LogLevel.Warning));
    }

    private ClusterTls Load(X509Certificate2 certificate, string name, string? authorities = null, int maxHandshakes = 100)
    {
        using (certificate)
            return new ClusterTls(new ClusterTlsOptions
            {
                Certificate = _files.Write(certificate, name),
                Authorities = authorities ?? _files.AuthorityFile,
            }, _lines, maxHandshakes);
    }

    private async Task<bool> IsAcceptedAsync(Action<IConnectionBuilder> accept, ClusterTls client)
    {
        var (server, other) = Pair();
        var accepted = RunAsync(accept, server, Task.CompletedTask);
        // The client stays until the server is done, which may still write to it.
        var connected = RunAsync(client.Connect, other, accepted);
        var isAccepted = await accepted;
        await connected;
        return isAccepted;
    }

    // Whether the handshake was complete.
    private async Task<bool> RunAsync(Action<IConnectionBuilder> begin, ConnectionContext connection, Task end)
    {
        var isComplete = false;
        var builder = new ConnectionBuilder(_services);
        begin(builder);
        builder.Run(async _ =>
        {
            isComplete = true;
            await end;
        });
        await builder.Build()(connection).WaitAsync(Wait.Deadline);
        return isComplete;
    }

    private static (PipeConnection One, PipeConnection Other) Pair()
    {
        var options = new PipeOptions(useSynchronizationContext: false);
        var (there, back) = (new Pipe(options), new Pipe(options));
        return (new PipeConnection(new Ends(back.Reader, there.Writer)), new PipeConnection(new Ends(there.Reader, back.Writer)));
    }

    private sealed class PipeConnection : DefaultConnectionContext
    {
        public PipeConnection(IDuplexPipe pipes) => (Transport, RemoteEndPoint) = (pipes, new IPEndPoint(Address, 11_111));

        public bool IsAborted { get; private set; }

        public override void Abort(ConnectionAbortedException abortReason)
        {
            IsAborted = true;
            base.Abort(abortReason);
        }
    }

    private sealed record Ends(PipeReader Input, PipeWriter Output) : IDuplexPipe;
}
