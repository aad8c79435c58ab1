namespace OrleansMq.Consumers;

/// <summary>A call of a grain, of which the answer is waited for. Its disposal ends the wait. Thread-safe.</summary>
internal sealed class PendingCall : IDisposable
{
    private readonly LostCalls _calls;
    private readonly Task<DeliveryAnswer> _call;
    private readonly TaskCompletionSource<DeliveryAnswer?> _answer = new();
    private readonly CancellationTokenRegistration _cancellation;

    /// <summary>Begins to wait.</summary>
    /// <param name="calls">What asks about it.</param>
    /// <param name="grain">The grain.</param>
    /// <param name="delivery">What it is called for.</param>
    /// <param name="call">The call.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    public PendingCall(LostCalls calls, GrainId grain, IGrainDelivery delivery, Task<DeliveryAnswer> call,
        CancellationToken cancellationToken)
    {
        (_calls, Grain, Delivery, _call) = (calls, grain, delivery, call);
        if (call.IsCompleted)
        {
            Answered();
            return;
        }
        call.ConfigureAwait(false).GetAwaiter().UnsafeOnCompleted(Answered);
        _cancellation = cancellationToken.UnsafeRegister(
            static (waiting, token) => ((TaskCompletionSource<DeliveryAnswer?>)waiting!).TrySetCanceled(token), _answer);
    }

    /// <summary>The grain.</summary>
    public GrainId Grain { get; }

    /// <summary>What it is called for.</summary>
    public IGrainDelivery Delivery { get; }

    /// <summary>Completes as the call does, or when the wait is cancelled; with null, when the call is lost.</summary>
    public Task<DeliveryAnswer?> Answer => _answer.Task;

    /// <summary>Whether the wait has ended.</summary>
    public bool HasEnded => _answer.Task.IsCompleted;

    /// <summary>Since when it has no answer, or the last question about it was answered; null: it is asked about now. Of what
    /// asks.</summary>
    public long? Since { get; set; }

    /// <summary>The call is lost, unless it has ended.</summary>
    public void Lose()
    {
        if (_call.IsCompleted)
            Answered();
        else
            _answer.TrySetResult(null);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _cancellation.Dispose();
        _calls.End(this);
    }

    private void Answered()
    {
        // Without a caller it goes on, and its failure is not looked at.
        if (!_answer.TrySetFromTask(_call!))
            _ = _call.Exception;
    }
}
