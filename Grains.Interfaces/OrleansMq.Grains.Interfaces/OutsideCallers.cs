namespace OrleansMq.Grains;

/// <summary>Tells calls of Orleans clients from those of silos, by the caller that Orleans writes into a call.</summary>
internal static class OutsideCallers
{
    // What Orleans puts before the address of a silo that calls outside of its grains.
    private const string HostedClientPrefix = "hosted-";

    /// <summary>Whether a caller says that it is outside the silos.</summary>
    /// <param name="caller">The caller; null: the call names none.</param>
    public static bool IsOutside(GrainId? caller) => caller is { } id && id.IsClient()
        && !id.Key.ToString()!.StartsWith(HostedClientPrefix, StringComparison.Ordinal);
}
