namespace OrleansMq.Grains.Brokers;

/// <summary>
/// Tells a grain which attempt of its caller a call is, by the <see cref="RequestContext"/>. A caller repeats a call whose silo has gone; a
/// silo that stops may have forwarded it, and it arrives after its repetition, and after what the caller has done since.
/// </summary>
internal static class CallAttempts
{
    // The values are an id, and a number where it is not 1.
    private const string CallKey = "omq.call";
    private const string AttemptKey = "omq.attempt";

    /// <summary>The call that is carried out, and the number of its attempt; null where its caller does not tell.</summary>
    public static (Guid Call, int Attempt)? Carried => RequestContext.Get(CallKey) is Guid call
        ? (call, RequestContext.Get(AttemptKey) as int? ?? 1) : null;

    /// <summary>Has the calls of this asynchronous method say which attempt they are.</summary>
    /// <param name="call">The same for all attempts.</param>
    /// <param name="attempt">The first is 1.</param>
    public static void Carry(Guid call, int attempt)
    {
        RequestContext.Set(CallKey, call);
        // What has caused this call may be a repetition itself.
        if (attempt > 1)
            RequestContext.Set(AttemptKey, attempt);
        else
            RequestContext.Remove(AttemptKey);
    }
}
