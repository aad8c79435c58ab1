using OrleansMq.Api;
using OrleansMq.Quotas;

namespace OrleansMq.Access;

/// <summary>
/// Holds a session of the HTTP API, of AMQP's management API, or of an Orleans client within its quotas: an answer comes later where the
/// client is beyond its rate. A client that already owes more than the longest hold is refused before anything is done, and may retry.
/// </summary>
/// <param name="quotas">What the session may use.</param>
/// <param name="most">The longest hold; null: <see cref="MostOfRequest"/>.</param>
internal sealed class SessionPace(ClientQuotas quotas, TimeSpan? most = null)
{
    /// <summary>The longest that the answer of an HTTP request is held back: clients give up after 30 seconds or more.</summary>
    public static readonly TimeSpan MostOfRequest = TimeSpan.FromSeconds(15);

    /// <summary>The longest that the answer of a grain call is held back: a call to a partition times out after 10 seconds, and its client
    /// would send again what is stored.</summary>
    public static readonly TimeSpan MostOfCall = TimeSpan.FromSeconds(4);

    private readonly TimeSpan _most = most ?? MostOfRequest;

    /// <summary>Whether nothing holds the session back.</summary>
    public bool IsFree(QuotaKey key) => quotas.Of(key) is null;

    /// <summary>The longest hold.</summary>
    public TimeSpan Most => _most;

    /// <summary>What the session has used of its quota of bytes that are read; null: nothing limits them.</summary>
    public QuotaAccount? Reads => quotas.Of(QuotaKey.ConsumerByteRate);

    /// <summary>The most bytes that one read may return: what a window allows.</summary>
    public int MostBytes => quotas.Of(QuotaKey.ConsumerByteRate) is { } account
        ? (int)Math.Clamp(account.Most, 1, int.MaxValue) : int.MaxValue;

    /// <summary>Returns why a request is refused; null where it is not.</summary>
    public string? Refuses(QuotaKey key) => quotas.Of(key)?.Wait() is { } wait && wait > _most
        ? RefusalOf(key, wait) : null;

    /// <summary>Takes partitions that are created or deleted.</summary>
    /// <returns>What was taken, for <see cref="TakeBack"/>.</returns>
    /// <exception cref="BrokerException"><see cref="ErrorCode.ThrottlingQuotaExceeded"/>.</exception>
    public double Mutate(int partitions)
    {
        const QuotaKey key = QuotaKey.ControllerMutationRate;
        if (quotas.Of(key) is not { } account)
            return 0;
        var wait = account.ChargeUnlessOwed(partitions, out var taken);
        return wait <= TimeSpan.Zero ? taken : throw new BrokerException(ErrorCode.ThrottlingQuotaExceeded, RefusalOf(key, wait));
    }

    /// <summary>Gives back what <see cref="Mutate"/> took for a request that did nothing.</summary>
    public void TakeBack(double taken) => quotas.Of(QuotaKey.ControllerMutationRate)?.TakeBack(taken);

    /// <summary>Appends, and completes when the client is within its rate again. What was appended is kept.</summary>
    public async ValueTask<ProduceResult> ProduceAsync(int bytes, Func<ValueTask<ProduceResult>> produce)
    {
        const QuotaKey key = QuotaKey.ProducerByteRate;
        if (Refuses(key) is { } refusal)
            return ProduceResult.Failed(ErrorCode.ThrottlingQuotaExceeded, refusal);
        var wait = quotas.Charge(key, bytes);
        var result = await produce().ConfigureAwait(false);
        await HoldAsync(key, wait, CancellationToken.None).ConfigureAwait(false);
        return result;
    }

    /// <summary>Writes bytes that are no batch, and completes when the client is within its rate again. What was written is
    /// kept.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.ThrottlingQuotaExceeded"/>: nothing was written.</exception>
    public async ValueTask<T> WriteAsync<T>(long bytes, Func<ValueTask<T>> write)
    {
        const QuotaKey key = QuotaKey.ProducerByteRate;
        if (Refuses(key) is { } refusal)
            throw new BrokerException(ErrorCode.ThrottlingQuotaExceeded, refusal);
        var wait = quotas.Charge(key, bytes);
        var written = await write().ConfigureAwait(false);
        await HoldAsync(key, wait, CancellationToken.None).ConfigureAwait(false);
        return written;
    }

    /// <summary>Reads once the client is within its rate.</summary>
    public async ValueTask<FetchResult> FetchAsync(FetchRequest request, Func<FetchRequest, ValueTask<FetchResult>> fetch,
        CancellationToken cancellationToken)
    {
        const QuotaKey key = QuotaKey.ConsumerByteRate;
        if (Refuses(key) is { } refusal)
            return FetchResult.Failed(ErrorCode.ThrottlingQuotaExceeded, refusal);
        await HoldAsync(key, cancellationToken).ConfigureAwait(false);
        var fetched = await fetch(request with { MaxBytes = Math.Min(request.MaxBytes, MostBytes) }).ConfigureAwait(false);
        if (fetched.Length > 0)
            quotas.Charge(key, fetched.Length);
        return fetched;
    }

    /// <summary>Carries out a request once the client is within its quota of time, or after
    /// <see cref="BrokerQuotas.MostRequestThrottle"/>. The time until the request waits for the first time is the client's, as of requests
    /// by other protocols. One that waits for its body receives it by <see cref="ReceiveAsync"/>.</summary>
    public async Task RunAsync(Func<Task> request, CancellationToken cancellationToken)
    {
        const QuotaKey key = QuotaKey.RequestPercentage;
        await HoldAsync(key, BrokerQuotas.RequestThrottle(Wait(key)), cancellationToken).ConfigureAwait(false);
        var time = RequestTime.Begin();
        Task running;
        try
        {
            running = request();
        }
        finally
        {
            time.Charge(quotas);
        }
        await running.ConfigureAwait(false);
    }

    /// <summary>Receives a request's body: where it comes late, its client pays for what follows, and not for the wait.</summary>
    /// <param name="receiving">Receives it.</param>
    /// <param name="pace">The client's pace; null: nothing limits its time.</param>
    public static async ValueTask<T> ReceiveAsync<T>(ValueTask<T> receiving, SessionPace? pace)
    {
        if (receiving.IsCompleted || pace is null)
            return await receiving.ConfigureAwait(false);
        var body = await receiving.ConfigureAwait(false);
        await pace.Stretch();
        return body;
    }

    // What follows an await of it is measured.
    private RequestStretch Stretch() => new(quotas);

    /// <summary>Says that a quota is used up.</summary>
    public static string RefusalOf(QuotaKey key, TimeSpan wait) =>
        $"The quota {key.Name()} is used up: retry in {Math.Ceiling(wait.TotalSeconds)} s.";

    /// <summary>How long until the client is within its rate.</summary>
    public TimeSpan Wait(QuotaKey key) => quotas.Of(key)?.Wait() ?? TimeSpan.Zero;

    /// <summary>Takes what a request uses. Returns how long its answer is to be held.</summary>
    public TimeSpan Charge(QuotaKey key, double units) => quotas.Charge(key, units);

    /// <summary>Waits until the client is within its rate.</summary>
    public ValueTask HoldAsync(QuotaKey key, CancellationToken cancellationToken) =>
        HoldAsync(key, Wait(key), cancellationToken);

    /// <summary>Holds an answer.</summary>
    public async ValueTask HoldAsync(QuotaKey key, TimeSpan wait, CancellationToken cancellationToken)
    {
        await DelayAsync(key, wait, cancellationToken).ConfigureAwait(false);
        if (wait > TimeSpan.Zero)
            cancellationToken.ThrowIfCancellationRequested();
    }

    /// <summary>Holds an answer that is given in any case: a hold that is cancelled ends, and does not throw.</summary>
    public async ValueTask DelayAsync(QuotaKey key, TimeSpan wait, CancellationToken cancellationToken)
    {
        if (wait <= TimeSpan.Zero)
            return;
        var held = Within(wait);
        quotas.Throttled(key, held);
        await quotas.HoldAsync(held, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>The part of a wait for which an answer is held back.</summary>
    public TimeSpan Within(TimeSpan wait) => wait < _most ? wait : _most;
}
