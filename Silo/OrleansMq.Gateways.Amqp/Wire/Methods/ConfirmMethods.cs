namespace OrleansMq.Gateways.Amqp.Wire.Methods;

/// <summary>confirm.select: has the server confirm each publish.</summary>
internal readonly record struct ConfirmSelect(bool NoWait) : IMethod
{
    public static MethodId Id => new(85, 10);

    MethodId IMethod.Id => Id;

    public static ConfirmSelect Read(ref FieldReader reader) => new(reader.ReadBit());

    public void Write(ref FieldWriter writer)
    {
        writer.WriteBit(NoWait);
    }
}

/// <summary>confirm.select-ok: publishes are confirmed from now on.</summary>
internal readonly record struct ConfirmSelectOk : IMethod
{
    public static MethodId Id => new(85, 11);

    MethodId IMethod.Id => Id;

    public static ConfirmSelectOk Read(ref FieldReader reader) => default;

    public void Write(ref FieldWriter writer) { }
}
