using System.Buffers;
using System.IO.Pipelines;
using System.Net.Security;
using System.Security.Authentication;
using Microsoft.AspNetCore.Connections;
using Orleans.Configuration;
using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Tls;
using OrleansMq.Grains.Coordination;

namespace OrleansMq.Silo.Cluster.Tls;

/// <summary>
/// TLS between the silos of a cluster, and between Orleans clients and a silo. Both sides of a connection have a certificate of the
/// cluster's own authority; whoever has none is refused. Names in certificates are not compared, since silos know each other by address:
/// the authority is to issue certificates for the cluster alone. The files are read again when they change.
/// </summary>
internal sealed class ClusterTls : IAsyncDisposable
{
    // As long as Orleans waits for a connection.
    private static readonly TimeSpan HandshakeTime = TimeSpan.FromSeconds(5);
    // What an Orleans client says of itself at the beginning of its connection.
    private const int MostBeginning = 1 << 10;

    private readonly ServerCertificates _certificates;
    private readonly EngineLog _log;
    private readonly RareLine _refused;

    /// <param name="options">Certificate, key and authority.</param>
    /// <param name="log">Where log lines go.</param>
    /// <exception cref="TlsConfigurationException">A file cannot be used.</exception>
    public ClusterTls(TlsOptions options, EngineLog log)
    {
        _log = log;
        _refused = new RareLine(log, TimeProvider.System);
        _certificates = ServerCertificates.Load(options, "Cluster", TimeProvider.System, log);
    }

    /// <summary>Puts TLS under every connection of a silo.</summary>
    /// <param name="silo">The silo.</param>
    /// <param name="services">Returns the services of the silo once it runs.</param>
    public void Configure(ISiloBuilder silo, Func<IServiceProvider?> services) => silo.Configure<SiloConnectionOptions>(options =>
    {
        options.ConfigureSiloInboundConnection(builder => Use(builder, (next, context) => AcceptAsync(next, context, null)));
        options.ConfigureSiloOutboundConnection(builder => Use(builder, ConnectAsync));
        options.ConfigureGatewayInboundConnection(builder => Use(builder, (next, context) => AcceptAsync(next, context,
            beginning => services()?.GetService<GoneCallers>()?.OnConnectionEnded(beginning))));
    });

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => _certificates.DisposeAsync();

    private static void Use(IConnectionBuilder builder, Func<ConnectionDelegate, ConnectionContext, Task> run) =>
        builder.Use(next => context => run(next, context));

    private async Task AcceptAsync(ConnectionDelegate next, ConnectionContext context, Action<byte[]>? ended)
    {
        using var stream = new SslStream(new PipeStream(context.Transport), leaveInnerStreamOpen: true);
        string? reason = null;
        if (!await TryShakeHandsAsync(context, token => stream.AuthenticateAsServerAsync(
            _certificates.OptionsFor(null, refusal => reason = refusal), token), () => reason).ConfigureAwait(false))
            return;
        await RunAsync(next, context, stream, ended).ConfigureAwait(false);
    }

    private async Task ConnectAsync(ConnectionDelegate next, ConnectionContext context)
    {
        using var stream = new SslStream(new PipeStream(context.Transport), leaveInnerStreamOpen: true);
        if (await TryShakeHandsAsync(context, token => stream.AuthenticateAsClientAsync(_certificates.OptionsOfClient(), token),
            static () => null).ConfigureAwait(false))
            await RunAsync(next, context, stream, null).ConfigureAwait(false);
    }

    private async Task<bool> TryShakeHandsAsync(ConnectionContext context, Func<CancellationToken, Task> shake, Func<string?> reason)
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(context.ConnectionClosed);
        deadline.CancelAfter(HandshakeTime);
        try
        {
            await shake(deadline.Token).ConfigureAwait(false);
            return true;
        }
        catch (Exception fault) when (fault is AuthenticationException or IOException or OperationCanceledException)
        {
            var why = reason() ?? (fault is OperationCanceledException ? "the handshake took too long" : fault.GetBaseException().Message);
            // A port that is opened and closed is how brokers see whether another lives.
            if (fault is AuthenticationException || reason() is not null)
                _refused.Write(EngineLogLevel.Warning,
                    $"The TLS handshake with the silo or Orleans client at {context.RemoteEndPoint} failed: {why}. Both sides need a "
                    + "certificate of the cluster's authority.");
            else
                _log.Write(EngineLogLevel.Debug, $"The connection with {context.RemoteEndPoint} ended in its TLS handshake: {why}.");
            context.Abort(new ConnectionAbortedException($"The TLS handshake failed: {why}.", fault));
            return false;
        }
    }

    private static async Task RunAsync(ConnectionDelegate next, ConnectionContext context, SslStream stream, Action<byte[]>? ended)
    {
        var plain = context.Transport;
        var pipes = new TlsPipes(stream);
        var beginning = Array.Empty<byte>();
        try
        {
            if (ended is not null)
                beginning = await PeekAsync(pipes.Input).ConfigureAwait(false);
            context.Transport = pipes;
            await next(context).ConfigureAwait(false);
        }
        finally
        {
            context.Transport = plain;
            try
            {
                await pipes.DisposeAsync().ConfigureAwait(false);
            }
            catch (Exception gone) when (gone is IOException or InvalidOperationException)
            {
                // The connection has ended below.
            }
            if (beginning.Length > 0)
                ended!(beginning);
        }
    }

    // The first bytes, which stay to be read.
    private static async Task<byte[]> PeekAsync(PipeReader input)
    {
        var read = await input.ReadAsync().ConfigureAwait(false);
        var beginning = read.Buffer.Slice(0, Math.Min(read.Buffer.Length, MostBeginning)).ToArray();
        input.AdvanceTo(read.Buffer.Start);
        return beginning;
    }
}
