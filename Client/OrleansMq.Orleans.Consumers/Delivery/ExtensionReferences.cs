using System.Runtime.CompilerServices;

namespace OrleansMq.Consumers;

/// <summary>References to an extension of grains. Orleans finds the interface of a cast by reflection each time; here it is found once in a
/// process, as every silo gives an interface the same name. Thread-safe.</summary>
/// <typeparam name="T">The extension.</typeparam>
internal static class ExtensionReferences<T>
    where T : IGrainExtension
{
    private static StrongBox<GrainInterfaceType>? s_interface;

    /// <summary>Returns the reference to a grain's extension.</summary>
    /// <param name="grains">The grains.</param>
    /// <param name="grain">The grain.</param>
    public static T Of(IGrainFactory grains, GrainId grain)
    {
        if (Volatile.Read(ref s_interface) is { } known)
            return (T)grains.GetGrain(grain, known.Value);
        var first = grains.GetGrain(grain).AsReference<T>();
        Volatile.Write(ref s_interface, new(((GrainReference)(object)first).InterfaceType));
        return first;
    }
}
