namespace OrleansMq.Client;

/// <summary>The memory that one call has for the different texts that it counts by: clients choose them, and each may be another.</summary>
internal sealed class TextRoom
{
    /// <summary>The characters of all texts, with what each takes beside: 2 Mi.</summary>
    public const int MaxText = 2 << 20;

    // What an entry of a dictionary takes, in characters.
    private const int PerText = 100;

    private int _left = MaxText;

    /// <summary>Takes the room of a text.</summary>
    /// <returns>False if there is none.</returns>
    public bool TryTake(int length)
    {
        if (length + PerText > _left)
            return false;
        _left -= length + PerText;
        return true;
    }
}
