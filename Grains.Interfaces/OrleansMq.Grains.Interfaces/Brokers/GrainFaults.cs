namespace OrleansMq.Grains.Brokers;

/// <summary>What a grain call that got no answer means to the caller of the broker API.</summary>
internal static class GrainFaults
{
    /// <summary>Whether the exception is Orleans' way to say that no answer came: a timeout, a silo that died, a message that was
    /// refused.</summary>
    public static bool IsUnanswered(Exception exception) => exception is TimeoutException or OrleansException;

    /// <summary>The message of <see cref="ErrorCode.RequestTimedOut"/>.</summary>
    public static string Message(string what, Exception exception) =>
        $"{what} was not answered by the cluster; whether it was done is unknown. Retry. ({exception.GetType().Name}: {exception.Message})";

    /// <summary>Awaits an administrative call; one that is not answered becomes a <see cref="BrokerException"/> to retry.</summary>
    public static async ValueTask<T> AnswerAsync<T>(string what, Task<T> call, CancellationToken cancellationToken)
    {
        try
        {
            return await call.WaitAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (Exception exception) when (IsUnanswered(exception))
        {
            throw new BrokerException(ErrorCode.RequestTimedOut, Message(what, exception), exception);
        }
    }
}
