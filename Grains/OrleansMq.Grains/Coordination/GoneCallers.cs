using System.Buffers;
using System.Collections.Concurrent;
using System.Text;
using Microsoft.Extensions.DependencyInjection;
using OrleansMq.Connections;
using OrleansMq.Diagnostics;
using OrleansMq.Grains.Partitions;

namespace OrleansMq.Grains.Coordination;

/// <summary>
/// Abandons the requests of callers that are gone, since no answer can reach them: those of a silo that was declared dead, and, on all
/// silos, those of an Orleans client whose connection to this silo's gateway ended. Such a client may live and have other connections. It
/// then sends its request again. Thread safe.
/// </summary>
internal sealed class GoneCallers(ActiveCoordinators active, IBrokerPeers peers, EngineLog log, IServiceProvider services)
    : IGatewayConnections, ISiloStatusListener, ILifecycleParticipant<ISiloLifecycle>
{
    private readonly ConcurrentDictionary<int, GoneCallerNotifier> _notifiers = new();
    private readonly RareLine _omissions = new(log, TimeProvider.System);

    /// <inheritdoc/>
    public void Participate(ISiloLifecycle lifecycle) => lifecycle.Subscribe(nameof(GoneCallers), ServiceLifecycleStage.BecomeActive,
        _ =>
        {
            services.GetRequiredService<ISiloStatusOracle>().SubscribeToSiloStatusEvents(this);
            return Task.CompletedTask;
        });

    /// <inheritdoc/>
    public void SiloStatusChangeNotification(SiloAddress updatedSilo, SiloStatus status)
    {
        if (status == SiloStatus.Dead)
            active.AbandonCallsOf(GoneCaller.Silo(updatedSilo.ToParsableString()));
    }

    /// <summary>Tells all silos that a client's connection has ended.</summary>
    /// <inheritdoc/>
    public void OnConnectionEnded(byte[] beginning)
    {
        active.AbandonCallsOf(GoneCaller.Client(beginning));
        foreach (var broker in peers.Live.Where(broker => broker != peers.Self))
        {
            if (!_notifiers.GetOrAdd(broker, id => new GoneCallerNotifier(beginnings => TellAsync(id, beginnings))).TryAdd(beginning))
                _omissions.Write(EngineLogLevel.Debug, $"Broker {broker} is not told of a client that is gone: it has not answered to "
                    + $"{GoneCallerNotifier.MaxWaitingBytes >> 20} MiB of such news. The sessions of the client's members end later.");
        }
    }

    private async Task TellAsync(int broker, byte[] beginnings)
    {
        try
        {
            if (peers.Find(broker) is { } silo)
                await services.GetRequiredService<CoordinatorServiceClient>().Of(silo).CallerGoneAsync(beginnings).ConfigureAwait(false);
        }
        catch (Exception failure) // Whatever the call throws: the sessions of the clients' members end later.
        {
            log.Write(EngineLogLevel.Debug, $"Broker {broker} was not told of clients that are gone.", failure);
        }
    }
}

/// <summary>Tells one broker of clients that are gone. Without TLS any program can connect and end: one call is in progress at a time, and
/// the next ones tell of the clients that ended meanwhile, up to a bound. Thread safe.</summary>
/// <param name="tell">Tells the broker of clients by the beginnings of their connections, one behind the other. It must not
/// throw.</param>
internal sealed class GoneCallerNotifier(Func<byte[], Task> tell)
{
    /// <summary>The most bytes that wait: those of 4,096 connections at least. Clients beyond are not told of, and the sessions of their
    /// members end later.</summary>
    public const int MaxWaitingBytes = 4 << 20;

    /// <summary>The most bytes of a call: the broker looks for its callers in them.</summary>
    public const int MaxPartBytes = 64 << 10;

    private readonly Lock _lock = new();
    // A part has whole beginnings. The last one grows until it is taken.
    private readonly Queue<ArrayBufferWriter<byte>> _parts = new();
    private ArrayBufferWriter<byte>? _last;
    private int _waitingBytes;
    private bool _isTelling;

    /// <summary>Has the broker told of a client.</summary>
    /// <param name="beginning">The first bytes of its connection, a KiB at most.</param>
    /// <returns>False: too many wait, and the broker is not told.</returns>
    public bool TryAdd(byte[] beginning)
    {
        lock (_lock)
        {
            if (_waitingBytes + beginning.Length > MaxWaitingBytes)
                return false;
            if (_last is null || _last.WrittenCount + beginning.Length > MaxPartBytes)
                _parts.Enqueue(_last = new ArrayBufferWriter<byte>());
            _last.Write(beginning);
            _waitingBytes += beginning.Length;
            if (_isTelling)
                return true;
            _isTelling = true;
        }
        _ = TellAllAsync();
        return true;
    }

    private async Task TellAllAsync()
    {
        while (TakePart() is { } beginnings)
            await tell(beginnings).ConfigureAwait(false);
    }

    // Null, and the telling ends, where none wait.
    private byte[]? TakePart()
    {
        lock (_lock)
        {
            if (!_parts.TryDequeue(out var part))
            {
                _isTelling = false;
                return null;
            }
            if (part == _last)
                _last = null;
            _waitingBytes -= part.WrittenCount;
            return part.WrittenSpan.ToArray();
        }
    }
}

/// <summary>A caller that is gone: a client by the beginning of its connection, which contains its id, or a silo by the id of the client in
/// it.</summary>
internal readonly record struct GoneCaller
{
    // Clients' ids are UUIDs. A shorter one could be found in anything that a stranger sends.
    private const int MinIdLength = 16;

    private readonly byte[] _bytes;
    private readonly bool _isSilo;

    private GoneCaller(byte[] bytes, bool isSilo) => (_bytes, _isSilo) = (bytes, isSilo);

    /// <summary>An Orleans client.</summary>
    /// <param name="beginning">The first bytes of its connection; of several, one behind the other.</param>
    public static GoneCaller Client(byte[] beginning) => new(beginning, isSilo: false);

    /// <summary>A silo.</summary>
    /// <param name="address">Its address, with its generation.</param>
    public static GoneCaller Silo(string address) => new(Encoding.UTF8.GetBytes($"hosted-{address}"), isSilo: true);

    /// <summary>Whether a call came from it.</summary>
    public bool Is(GrainId caller)
    {
        if (caller.IsDefault || !caller.Type.AsSpan().SequenceEqual("sys.client"u8))
            return false;
        var id = caller.Key.AsSpan();
        return _isSilo ? id.SequenceEqual(_bytes)
            : id.Length >= MinIdLength && !id.StartsWith("hosted-"u8) && _bytes.AsSpan().IndexOf(id) >= 0;
    }
}
