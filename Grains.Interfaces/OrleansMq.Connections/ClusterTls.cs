using System.Buffers;
using System.IO.Pipelines;
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using OrleansMq.Diagnostics;
using OrleansMq.Security;
using OrleansMq.Tls;

namespace OrleansMq.Connections;

/// <summary>
/// TLS between the silos of a cluster, and between Orleans clients and a silo. Both sides of a connection have a certificate of the
/// cluster's own authority; whoever has none is refused. Names in certificates are not compared, since silos know each other by address:
/// the authority is to issue certificates for the cluster alone. A silo's certificate is for servers and for clients: one for clients alone
/// does not open the silo port. The files are read again when they change.
/// </summary>
internal sealed class ClusterTls : IDisposable
{
    // As long as Orleans waits for a connection.
    private static readonly TimeSpan HandshakeTime = TimeSpan.FromSeconds(5);
    // The bound of one port, the same as that of the gateways.
    private const int MaxHandshakes = 1_000;

    private readonly WatchedCertificates _certificates;
    private readonly EngineLog _log;
    // Counted and told of apart, so that clients neither keep silos out nor hide what is refused of them.
    private readonly Port _silos;
    private readonly Port _clients;
    private readonly RareLine _notConnected;

    /// <param name="options">Certificate and authorities.</param>
    /// <param name="loggers">Where log lines go.</param>
    /// <param name="maxHandshakes">The most handshakes of a port at a time.</param>
    /// <exception cref="TlsConfigurationException">A file cannot be used.</exception>
    public ClusterTls(ClusterTlsOptions options, ILoggerFactory loggers, int maxHandshakes = MaxHandshakes)
    {
        _log = new EngineLogAdapter(loggers);
        _silos = new Port("silo", maxHandshakes, _log);
        _clients = new Port("gateway", maxHandshakes, _log);
        _notConnected = new RareLine(_log, TimeProvider.System);
        _certificates = WatchedCertificates.Load(new TlsOptions
        {
            Certificates = [options.Certificate],
            ClientAuthentication = ClientAuthentication.Required,
            ClientAuthorities = options.Authorities,
        }, "Cluster", TimeProvider.System, _log);
    }

    /// <summary>Puts TLS under connections that other silos make.</summary>
    public void Accept(IConnectionBuilder builder) => Use(builder, (next, context) => AcceptAsync(next, context, _silos, null));

    /// <summary>Puts TLS under connections that Orleans clients make.</summary>
    public void AcceptClients(IConnectionBuilder builder)
    {
        var services = builder.ApplicationServices;
        Use(builder, (next, context) => AcceptAsync(next, context, _clients, services.GetService<IGatewayConnections>()));
    }

    /// <summary>Puts TLS under connections that this process makes.</summary>
    public void Connect(IConnectionBuilder builder) => Use(builder, ConnectAsync);

    /// <inheritdoc/>
    public void Dispose() => _certificates.Dispose();

    private static void Use(IConnectionBuilder builder, Func<ConnectionDelegate, ConnectionContext, Task> run) =>
        builder.Use(next => context => run(next, context));

    private async Task AcceptAsync(ConnectionDelegate next, ConnectionContext context, Port port, IGatewayConnections? watcher)
    {
        using var stream = new SslStream(new PipeStream(context.Transport), leaveInnerStreamOpen: true);
        if (await TryAcceptAsync(context, stream, port).ConfigureAwait(false))
            await RunAsync(next, context, stream, watcher).ConfigureAwait(false);
    }

    private async Task<bool> TryAcceptAsync(ConnectionContext context, SslStream stream, Port port)
    {
        using var place = port.Handshakes.Enter((context.RemoteEndPoint as IPEndPoint)?.Address ?? IPAddress.Loopback);
        if (place is null)
        {
            context.Abort(new ConnectionAbortedException("Too many TLS handshakes are in progress."));
            return false;
        }
        string? reason = null;
        return await TryShakeHandsAsync(context, port.Refused, token => stream.AuthenticateAsServerAsync(
            _certificates.OptionsFor(null, refusal => reason = refusal, isServerToo: port == _silos), token), () => reason)
            .ConfigureAwait(false);
    }

    private async Task ConnectAsync(ConnectionDelegate next, ConnectionContext context)
    {
        using var stream = new SslStream(new PipeStream(context.Transport), leaveInnerStreamOpen: true);
        if (await TryShakeHandsAsync(context, _notConnected,
            token => stream.AuthenticateAsClientAsync(_certificates.OptionsOfClient(), token), static () => null).ConfigureAwait(false))
            await RunAsync(next, context, stream, null).ConfigureAwait(false);
    }

    private async Task<bool> TryShakeHandsAsync(ConnectionContext context, RareLine refused, Func<CancellationToken, Task> shake,
        Func<string?> reason)
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(context.ConnectionClosed);
        deadline.CancelAfter(HandshakeTime);
        try
        {
            await shake(deadline.Token).ConfigureAwait(false);
            return true;
        }
        // A connection that breaks or is closed underneath ends the pipes with any of the latter.
        catch (Exception fault) when (fault is AuthenticationException or IOException or OperationCanceledException or SocketException
            or InvalidOperationException)
        {
            var why = reason() ?? (fault is OperationCanceledException ? "the handshake took too long" : fault.GetBaseException().Message);
            // A port that is opened and closed is how brokers see whether another lives.
            if (fault is AuthenticationException || reason() is not null)
                refused.Write(EngineLogLevel.Warning,
                    $"The TLS handshake with the silo or Orleans client at {context.RemoteEndPoint} failed: {why}. Both sides need a "
                    + "certificate of the cluster's authority; a silo's is for servers and for clients.");
            else
                _log.Write(EngineLogLevel.Debug, $"The connection with {context.RemoteEndPoint} ended in its TLS handshake: {why}.");
            context.Abort(new ConnectionAbortedException($"The TLS handshake failed: {why}.", fault));
            return false;
        }
    }

    private static async Task RunAsync(ConnectionDelegate next, ConnectionContext context, SslStream stream,
        IGatewayConnections? watcher)
    {
        var plain = context.Transport;
        var pipes = new TlsPipes(stream);
        var beginning = Array.Empty<byte>();
        try
        {
            if (watcher is not null)
                beginning = await PeekAsync(pipes.Input).ConfigureAwait(false);
            context.Transport = pipes;
            await next(context).ConfigureAwait(false);
        }
        finally
        {
            context.Transport = plain;
            try
            {
                await CompleteAsync(pipes).ConfigureAwait(false);
                await stream.DisposeAsync().ConfigureAwait(false);
            }
            catch (Exception gone) when (gone is IOException or InvalidOperationException)
            {
                // The connection has ended below.
            }
            // Completing the pipes closes the connection. Orleans' stop waits for that.
            await CompleteAsync(plain).ConfigureAwait(false);
            if (beginning.Length > 0)
                watcher!.OnConnectionEnded(beginning);
        }
    }

    private static async ValueTask CompleteAsync(IDuplexPipe pipes)
    {
        await pipes.Input.CompleteAsync().ConfigureAwait(false);
        await pipes.Output.CompleteAsync().ConfigureAwait(false);
    }

    // The first bytes, which stay to be read.
    private static async Task<byte[]> PeekAsync(PipeReader input)
    {
        var read = await input.ReadAsync().ConfigureAwait(false);
        var beginning = read.Buffer.Slice(0, Math.Min(read.Buffer.Length, SocketConnection.MostBeginning)).ToArray();
        input.AdvanceTo(read.Buffer.Start);
        return beginning;
    }

    private sealed class Port(string name, int maxHandshakes, EngineLog log)
    {
        public UnauthenticatedConnections Handshakes { get; } =
            new(name, maxHandshakes, log, TimeProvider.System, "completed their TLS handshake");

        // Of the handshakes that failed.
        public RareLine Refused { get; } = new(log, TimeProvider.System);
    }
}
