using OrleansMq.Quotas;
using OrleansMq.Security;

namespace OrleansMq.Gateways.Amqp;

/// <summary>
/// Holds a connection within the quotas of its user: nothing more is read while it has sent too much or its methods have taken too much
/// time, and nothing more is delivered while it has received too much. Thread safe.
/// </summary>
/// <param name="quotas">The quotas.</param>
/// <param name="changed">Called, on some thread, when a hold ends.</param>
internal sealed class AmqpPace(BrokerQuotas quotas, Action changed) : IDisposable
{
    // A quota that is raised or removed takes effect within that time.
    private static readonly TimeSpan Slice = TimeSpan.FromSeconds(5);

    private readonly CancellationTokenSource _ended = new();
    private volatile ClientQuotas? _client;
    private string _user = "";
    private int _holdsInput;
    private int _holdsMethods;
    private int _holdsOutput;

    /// <summary>Whether nothing more is to be read.</summary>
    public bool HoldsInput => Volatile.Read(ref _holdsInput) != 0 || Volatile.Read(ref _holdsMethods) != 0;

    /// <summary>Whether nothing more is to be delivered.</summary>
    public bool HoldsOutput => Volatile.Read(ref _holdsOutput) != 0;

    /// <summary>Whether a quota limits the time of methods. The user's quotas are found when bytes are received.</summary>
    public bool ChargesTime => _client?.Of(QuotaKey.RequestPercentage) is not null;

    /// <summary>Takes bytes that were received. For one caller at a time.</summary>
    public void Received(string user, int bytes) => Charge(user, QuotaKey.ProducerByteRate, bytes, ref _holdsInput);

    /// <summary>Takes bytes that are delivered. For one caller at a time.</summary>
    public void Delivered(string user, int bytes) => Charge(user, QuotaKey.ConsumerByteRate, bytes, ref _holdsOutput);

    /// <summary>Takes the time for which a method has kept a thread. For any number of callers.</summary>
    public void Handled(TimeSpan time)
    {
        const QuotaKey key = QuotaKey.RequestPercentage;
        if (_client is { } client && client.Charge(key, time.TotalSeconds * 100) is var wait && wait > TimeSpan.Zero
            && Interlocked.Exchange(ref _holdsMethods, 1) == 0)
            _ = HoldMethodsAsync(client, BrokerQuotas.RequestThrottle(wait));
    }

    /// <summary>Ends all holds.</summary>
    public void Dispose() => _ended.Cancel();

    private void Charge(string user, QuotaKey key, int bytes, ref int holds)
    {
        // Nobody has logged in.
        if (quotas.Image is null || user.Length == 0)
            return;
        if (_client is not { } client || _user != user)
            (_client, _user) = (client = quotas.Of(BrokerSecurity.PrincipalOf(user), ""), user);
        if (client.Charge(key, bytes) > TimeSpan.Zero && Interlocked.Exchange(ref holds, 1) == 0)
            _ = HoldAsync(client, key);
    }

    // The next method pays what is still owed then.
    private async Task HoldMethodsAsync(ClientQuotas client, TimeSpan time)
    {
        client.Throttled(QuotaKey.RequestPercentage, time);
        await client.HoldAsync(time, _ended.Token).ConfigureAwait(false);
        Volatile.Write(ref _holdsMethods, 0);
        changed();
    }

    private async Task HoldAsync(ClientQuotas client, QuotaKey key)
    {
        // Not under the lock of the connection.
        await Task.Yield();
        while (!_ended.IsCancellationRequested && client.Of(key)?.Wait() is { } wait && wait > TimeSpan.Zero)
        {
            var slice = wait < Slice ? wait : Slice;
            client.Throttled(key, slice);
            if (!await client.HoldAsync(slice, _ended.Token).ConfigureAwait(false))
                break;
        }
        if (key == QuotaKey.ProducerByteRate)
            Volatile.Write(ref _holdsInput, 0);
        else
            Volatile.Write(ref _holdsOutput, 0);
        changed();
    }
}
