/* Does nothing: the cheapest program there is to start. */
int main(void)
{
    return 0;
}
