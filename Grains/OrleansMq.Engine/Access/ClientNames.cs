namespace OrleansMq.Access;

/// <summary>The names that clients give themselves, as they are kept and written to the log.</summary>
internal static class ClientNames
{
    private const int MaxShown = 100;

    /// <summary>Returns the first 100 characters of a name, with control characters replaced.</summary>
    public static string Shown(string name) => string.Create(Math.Min(name.Length, MaxShown), name, static (shown, whole) =>
    {
        for (var at = 0; at < shown.Length; at++)
            shown[at] = char.IsControl(whole[at]) ? '?' : whole[at];
    });
}
